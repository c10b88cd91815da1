package istiod

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOneHost(t *testing.T) {
	const answer = `{
	  "echo.demo.svc.cluster.local": {"demo": {"Shards": {"Kubernetes/east": [{"Addresses": ["10.0.0.1"]}]}}},
	  "meshfleet-discovery.istio-system.svc.example.org": {"istio-system": {"Shards": {
	    "Kubernetes/east": [{"Addresses": ["240.0.0.1"]}],
	    "Kubernetes/west": [{"Addresses": ["240.0.0.2"]}, {"Addresses": ["240.0.0.2", "240.0.0.3"]}],
	    "External/west": [{"Addresses": ["192.0.2.1"]}]}}},
	  "zeta.demo.svc.cluster.local": {"demo": "what follows is not read"}
	}`
	h := oneHost{prefix: "meshfleet-discovery.istio-system.svc."}
	if err := h.read(json.NewDecoder(strings.NewReader(answer))); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{"east": {"240.0.0.1"}, "west": {"240.0.0.2", "240.0.0.3"}}
	if diff := cmp.Diff(want, h.byCluster("Kubernetes")); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	other := oneHost{prefix: "meshfleet-discovery.elsewhere.svc."}
	if err := other.read(json.NewDecoder(strings.NewReader(answer))); err != nil || len(other.byCluster("Kubernetes")) > 0 {
		t.Errorf("a Service that istiod does not know has %v (%v)", other.found, err)
	}
	for _, broken := range []string{`[]`, `"text"`, `{"meshfleet-discovery.istio-system.svc.x": 1}`} {
		if err := (&oneHost{prefix: h.prefix}).read(json.NewDecoder(strings.NewReader(broken))); err == nil {
			t.Errorf("%s is read", broken)
		}
	}
}
