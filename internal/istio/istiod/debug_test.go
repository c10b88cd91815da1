package istiod

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/meshfleet/meshfleet/internal/testutil"
)

const clusterz = `[
  {"id": "east", "secretName": "", "syncStatus": "synced"},
  {"id": "west", "secretName": "istio-system/istio-remote-secret-west", "syncStatus": "timeout"}
]`

const endpointShardz = `{
  "web.demo.svc.cluster.local": {
    "demo": {
      "Shards": {
        "Kubernetes/east": [
          {"Labels": {"app": "web"}, "Addresses": ["10.1.0.7"], "ServicePortName": "http", "EndpointPort": 8080, "Network": "net-east"},
          {"Labels": {"app": "web"}, "Addresses": ["10.1.0.7"], "ServicePortName": "metrics", "EndpointPort": 9090, "Network": "net-east"},
          {"Labels": {"app": "web"}, "Addresses": ["10.1.0.3", "fd00::3"], "ServicePortName": "http", "EndpointPort": 8080}
        ],
        "Kubernetes/west": []
      },
      "ServiceAccounts": {"spiffe://cluster.local/ns/demo/sa/web": {}}
    }
  },
  "api.example": {
    "a": {"Shards": {"External/east": [{"Addresses": ["192.0.2.1"]}]}, "ServiceAccounts": {}},
    "b": {"Shards": {"External/east": [{"Addresses": ["192.0.2.2"]}]}, "ServiceAccounts": null}
  }
}`

func TestClusters(t *testing.T) {
	tests := map[string]struct {
		port     string
		spdyOnly bool
	}{
		"through WebSocket":           {port: "15014"},
		"through SPDY":                {port: "15014", spdyOnly: true},
		"on the other port of istiod": {port: "8080"},
	}
	want := []RemoteCluster{
		{ID: "east", SyncStatus: "synced"},
		{ID: "west", SecretName: "istio-system/istio-remote-secret-west", SyncStatus: "timeout"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := testutil.NewCluster(t)
			c.SPDYOnly = test.spdyOnly
			c.Listen(t, "istiod-0", test.port, map[string]string{"/debug/clusterz": clusterz})
			got, err := Clusters(t.Context(), c.Config(), "istio-system", "istiod-0")
			if err != nil {
				t.Fatalf("Clusters: %v", err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Clusters (-want +got):\n%s", diff)
			}
			if c.Upgrades.Load() == 0 {
				t.Errorf("the answer did not come through a tunnel")
			}
			eventually(t, "every tunnel is closed", func() bool { return c.Open.Load() == 0 })
		})
	}
}

func TestEndpoints(t *testing.T) {
	c := testutil.NewCluster(t)
	c.Listen(t, "istiod-0", "15014", map[string]string{"/debug/endpointShardz": endpointShardz})
	got, err := Endpoints(t.Context(), c.Config(), "istio-system", "istiod-0")
	if err != nil {
		t.Fatalf("Endpoints: %v", err)
	}
	want := map[string]Shards{
		"web.demo.svc.cluster.local": {"east": {"10.1.0.3", "10.1.0.7", "fd00::3"}, "west": nil},
		"api.example":                {"east": {"192.0.2.1", "192.0.2.2"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Endpoints (-want +got):\n%s", diff)
	}
}

func TestClusterEndpoints(t *testing.T) {
	c := testutil.NewCluster(t)
	c.Listen(t, "istiod-0", "15014", map[string]string{"/debug/endpointShardz": endpointShardz})
	for cluster, want := range map[string]map[string][]string{
		"east": {"web.demo.svc.cluster.local": {"10.1.0.3", "10.1.0.7", "fd00::3"}, "api.example": nil},
		"west": {"web.demo.svc.cluster.local": nil, "api.example": nil},
	} {
		got, err := ClusterEndpoints(t.Context(), c.Config(), "istio-system", "istiod-0", cluster)
		if err != nil {
			t.Fatalf("ClusterEndpoints: %v", err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("ClusterEndpoints of %s (-want +got):\n%s", cluster, diff)
		}
	}
}

func TestClustersSaysWhatIsWrong(t *testing.T) {
	tests := map[string]struct {
		prepare func(*testing.T, *testutil.Cluster)
		want    func(error) bool
	}{
		"nobody listens": {func(*testing.T, *testutil.Cluster) {}, func(err error) bool {
			return strings.Contains(err.Error(), "connect to port 15014: connection refused") && strings.Contains(err.Error(), "connect to port 8080")
		}},
		"another path": {func(t *testing.T, c *testutil.Cluster) { c.Listen(t, "istiod-0", "15014", nil) }, func(err error) bool {
			return strings.Contains(err.Error(), "HTTP status 404")
		}},
		"no JSON": {func(t *testing.T, c *testutil.Cluster) {
			c.Listen(t, "istiod-0", "15014", map[string]string{"/debug/clusterz": "not enabled"})
		}, func(err error) bool {
			_, ok := errors.AsType[*json.SyntaxError](err)
			return ok
		}},
		"not allowed to forward": {func(_ *testing.T, c *testutil.Cluster) { c.Denied = true }, apierrors.IsForbidden},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := testutil.NewCluster(t)
			test.prepare(t, c)
			_, err := Clusters(t.Context(), c.Config(), "istio-system", "istiod-0")
			if err == nil || !test.want(err) {
				t.Errorf("Clusters: unexpected error %v", err)
			}
			if err != nil && strings.Contains(err.Error(), "good") {
				t.Errorf("the error reveals the token: %v", err)
			}
			eventually(t, "every tunnel is closed", func() bool { return c.Open.Load() == 0 })
		})
	}
}

func TestDialHonoursTheDeadline(t *testing.T) {
	for name, spdyOnly := range map[string]bool{"WebSocket": false, "SPDY": true} {
		t.Run(name, func(t *testing.T) {
			c := testutil.NewCluster(t)
			c.Silent = true
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			dial := dialWebSocket
			if spdyOnly {
				dial = dialSPDY
			}
			target, err := url.Parse(c.URL + "/api/v1/namespaces/istio-system/pods/istiod-0/portforward")
			if err != nil {
				t.Fatal(err)
			}
			started := time.Now()
			if _, err := dial(ctx, c.Config(), target); err == nil || time.Since(started) > 5*time.Second {
				t.Errorf("dialling ended after %s with %v, want an error soon after the deadline", time.Since(started), err)
			}
		})
	}
}

func TestConnectionsHaveDeadlinesAndFreeEverything(t *testing.T) {
	c := testutil.NewCluster(t)
	c.Listen(t, "istiod-0", "15014", nil)
	before := runtime.NumGoroutine()
	conn, err := Dial(t.Context(), c.Config(), "istio-system", "istiod-0", 15014)
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatalf("SetReadDeadline: %v", err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read after the deadline: %v, want os.ErrDeadlineExceeded", err)
	}
	if err := conn.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("Read after Close: %v, want that the pipe is closed", err)
	}
	eventually(t, "the tunnel is closed", func() bool { return c.Open.Load() == 0 })
	eventually(t, "no goroutine is left", func() bool {
		c.CloseClientConnections()
		return runtime.NumGoroutine() <= before
	})
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			buffer := make([]byte, 1<<20)
			t.Fatalf("waited too long: %s\n%s", what, buffer[:runtime.Stack(buffer, true)])
		}
	}
}
