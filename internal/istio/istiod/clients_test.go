package istiod

import (
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/meshfleet/meshfleet/internal/testutil"
)

const (
	types = `[{"proxy":"web-7c-x.demo","proxy_type":"sidecar"},{"proxy":"web-7c-x.demo","proxy_type":"sidecar"},{"proxy":"gw-0.istio-system","proxy_type":"router"}]`
	adsz  = `{"totalClients":4,"clients":[
	  {"connectionId":"web-7c-x.demo-12","labels":{"app":"web"},"locality":{"region":"eu","zone":"a"},
	   "metadata":{"NAMESPACE":"demo","SERVICE_ACCOUNT":"web","INSTANCE_IPS":"10.0.0.1,fd00::1","PROXY_CONFIG":{"concurrency":2}},
	   "watches":{"type.googleapis.com/envoy.config.cluster.v3.Cluster":[]}},
	  {"connectionId":"web-7c-x.demo-13","metadata":{"NAMESPACE":"demo","INSTANCE_IPS":"192.0.2.1,2001:db8::1"}},
	  {"connectionId":"late-0.demo-14"},
	  {"connectionId":"gw-0.istio-system-15","metadata":{"NAMESPACE":"istio-system"}}]}`
)

func TestClients(t *testing.T) {
	c := testutil.NewCluster(t)
	c.Listen(t, "istiod-0", "15014", map[string]string{"/debug/syncz": types, "/debug/adsz": adsz})
	got, err := Clients(t.Context(), c.Config(), "istio-system", "istiod-0")
	if err != nil {
		t.Fatalf("Clients: %v", err)
	}
	want := []Client{
		{ID: "web-7c-x.demo", Type: Sidecar, Labels: map[string]string{"app": "web"}, Locality: &Locality{Region: "eu", Zone: "a"},
			Metadata: map[string]any{"NAMESPACE": "demo", "SERVICE_ACCOUNT": "web", "INSTANCE_IPS": "10.0.0.1,fd00::1",
				"PROXY_CONFIG": map[string]any{"concurrency": 2.0}}},
		{ID: "gw-0.istio-system", Type: Router, Metadata: map[string]any{"NAMESPACE": "istio-system"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Clients (-want +got):\n%s", diff)
	}
}

func TestTwin(t *testing.T) {
	client := Client{ID: "web-0.demo", Type: Sidecar, Labels: map[string]string{"app": "web", "istio.io/rev": "1-28-3"}, Locality: &Locality{Region: "eu"},
		Metadata: map[string]any{
			"NAMESPACE": "demo", "INSTANCE_IPS": "fd00::1,10.0.0.1", "ISTIO_VERSION": "1.28.3", "ISTIO_REVISION": "1-28-3",
			"LABELS": map[string]any{"app": "web"}, "AUTO_REGISTER_GROUP": "vms", "WORKLOAD_ENTRY": "vm-1", "CLUSTER_ID": "east",
			"POD_PORTS": `[{"containerPort":8080}]`,
		}}
	got, err := Twin(client, "1-29-1", "1.29.1")
	if err != nil {
		t.Fatalf("Twin: %v", err)
	}
	metadata, err := structpb.NewStruct(map[string]any{
		"NAMESPACE": "demo", "INSTANCE_IPS": "2001:db8::1,192.0.2.1", "ISTIO_VERSION": "1.29.1", "ISTIO_REVISION": "1-29-1",
		"LABELS": map[string]any{"app": "web", "istio.io/rev": "1-29-1"}, "CLUSTER_ID": "east", "POD_PORTS": `[{"containerPort":8080}]`,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &corev3.Node{Id: "sidecar~2001:db8::1~web-0.demo~demo.svc.cluster.local", Cluster: "meshfleet.demo",
		Metadata: metadata, Locality: &corev3.Locality{Region: "eu"}}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("Twin (-want +got):\n%s", diff)
	}
	if client.Text("ISTIO_REVISION") != "1-28-3" || client.Labels["istio.io/rev"] != "1-28-3" {
		t.Errorf("Twin has changed the client: %v", client)
	}
	if node, err := Twin(Client{ID: "web-0.demo", Metadata: map[string]any{"INSTANCE_IPS": "10.0.0.1"}}, "a", "1"); err == nil {
		t.Errorf("Twin of a proxy without a namespace: %v", node)
	}
	lonely, err := Twin(Client{Type: Router, Metadata: map[string]any{"NAMESPACE": "demo"}}, "a", "1")
	if err != nil || !strings.HasPrefix(lonely.GetId(), "router~192.0.2.1~") {
		t.Errorf("Twin of a proxy without addresses: %v, %v; want one with an address all the same", lonely, err)
	}
}
