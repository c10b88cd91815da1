package istiod

import (
	"context"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/meshfleet/meshfleet/internal/testutil"
)

func eds(name string) *clusterv3.Cluster {
	return &clusterv3.Cluster{Name: name, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}}
}

func httpListener(t *testing.T, name, routes string) *listenerv3.Listener {
	t.Helper()
	manager, err := anypb.New(&hcmv3.HttpConnectionManager{RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: routes}}})
	if err != nil {
		t.Fatal(err)
	}
	return &listenerv3.Listener{Name: name, FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{
		{Name: "http", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: manager}}}}}}
}

func istiod(t *testing.T, ads *testutil.ADS) *testutil.Cluster {
	t.Helper()
	c := testutil.NewCluster(t)
	c.Forward("istiod-0", "15010", ads.Serve(t))
	return c
}

func TestFetchConfig(t *testing.T) {
	static := &clusterv3.Cluster{Name: "BlackHoleCluster"}
	everything := []proto.Message{
		eds("b"), eds("a"), static, &endpointv3.ClusterLoadAssignment{ClusterName: "a"}, &endpointv3.ClusterLoadAssignment{ClusterName: "other"},
		httpListener(t, "0.0.0.0_80", "80"), &routev3.RouteConfiguration{Name: "80"}, &routev3.RouteConfiguration{Name: "81"},
	}
	want := ProxyConfig{
		Clusters:  []*clusterv3.Cluster{eds("b"), eds("a"), static},
		Endpoints: []*endpointv3.ClusterLoadAssignment{{ClusterName: "a"}},
		Listeners: []*listenerv3.Listener{httpListener(t, "0.0.0.0_80", "80")},
		Routes:    []*routev3.RouteConfiguration{{Name: "80"}},
	}
	for name, again := range map[string]string{"nothing happens": "", "clusters are pushed again": "Cluster"} {
		t.Run(name, func(t *testing.T) {
			ads := &testutil.ADS{Again: again, Resources: func(*corev3.Node) []proto.Message { return everything }}
			c := istiod(t, ads)
			got, err := FetchConfig(t.Context(), c.Config(), "istio-system", "istiod-0", &corev3.Node{Id: "sidecar~x"})
			if err != nil {
				t.Fatalf("FetchConfig: %v", err)
			}
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Errorf("FetchConfig (-want +got):\n%s", diff)
			}
			said := []string{
				"sidecar~x Cluster", "ack sidecar~x Cluster", "sidecar~x ClusterLoadAssignment a,b",
				"ack sidecar~x ClusterLoadAssignment a,b", "sidecar~x Listener", "ack sidecar~x Listener",
				"sidecar~x RouteConfiguration 80", "ack sidecar~x RouteConfiguration 80",
			}
			if again != "" {
				said = append(said[:3:3], append([]string{"ack sidecar~x Cluster"}, said[3:]...)...)
			}
			eventually(t, "everything is acknowledged", func() bool { return cmp.Equal(said, ads.Said()) })
			if diff := cmp.Diff(said, ads.Said()); diff != "" {
				t.Errorf("the client says (-want +got):\n%s", diff)
			}
			eventually(t, "the stream and the tunnel are closed", func() bool { return ads.Open() == 0 && c.Open.Load() == 0 })
		})
	}
}

func TestFetchConfigAsksForNothingThatItDoesNotNeed(t *testing.T) {
	ads := &testutil.ADS{Resources: func(*corev3.Node) []proto.Message { return nil }}
	c := istiod(t, ads)
	if _, err := FetchConfig(t.Context(), c.Config(), "istio-system", "istiod-0", &corev3.Node{Id: "x"}); err != nil {
		t.Fatalf("FetchConfig: %v", err)
	}
	for _, text := range ads.Said() {
		if strings.Contains(text, "ClusterLoadAssignment") || strings.Contains(text, "RouteConfiguration") {
			t.Errorf("the client says %q, which asks for everything there is", text)
		}
	}
}

func TestFetchConfigSaysWhatIsWrong(t *testing.T) {
	node := &corev3.Node{Id: "router~x"}
	t.Run("nobody listens", func(t *testing.T) {
		c := testutil.NewCluster(t)
		_, err := FetchConfig(t.Context(), c.Config(), "istio-system", "istiod-0", node)
		if err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("FetchConfig: %v, want that the connection was refused", err)
		}
		eventually(t, "every tunnel is closed", func() bool { return c.Open.Load() == 0 })
	})
	t.Run("nobody answers", func(t *testing.T) {
		const takes = time.Second
		c := istiod(t, &testutil.ADS{Resources: func(*corev3.Node) []proto.Message { time.Sleep(takes); return nil }})
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := FetchConfig(ctx, c.Config(), "istio-system", "istiod-0", node)
		// The server may end the stream a moment before this context does: both have the deadline.
		if took := time.Since(began); err == nil || took >= takes {
			t.Errorf("FetchConfig: %v after %s, want an error at the deadline of 200 ms", err, took)
		}
		eventually(t, "every tunnel is closed", func() bool { return c.Open.Load() == 0 })
	})
}
