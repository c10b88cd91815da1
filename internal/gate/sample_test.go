package gate

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshfleet/meshfleet/internal/istio/istiod"
)

func proxy(id, kind, namespace, account string, labels map[string]string) istiod.Client {
	return istiod.Client{ID: id, Type: kind, Labels: labels, Metadata: map[string]any{"NAMESPACE": namespace, "SERVICE_ACCOUNT": account}}
}

func TestChoose(t *testing.T) {
	clients := []istiod.Client{
		proxy("web-b.shop", istiod.Sidecar, "shop", "web", map[string]string{"app": "web", "pod-template-hash": "b"}),
		proxy("web-a.shop", istiod.Sidecar, "shop", "web", map[string]string{"app": "web", "pod-template-hash": "a"}),
		proxy("web-v2.shop", istiod.Sidecar, "shop", "web", map[string]string{"app": "web", "version": "v2"}),
		proxy("api.shop", istiod.Sidecar, "shop", "api", map[string]string{"app": "api"}),
		proxy("job.batch", istiod.Sidecar, "batch", "default", nil),
		proxy("gw.istio-system", istiod.Router, "istio-system", "gw", nil),
		proxy("zt.istio-system", "ztunnel", "istio-system", "ztunnel", nil),
		{ID: "grpc.shop", Type: istiod.Sidecar, Metadata: map[string]any{"NAMESPACE": "shop", "GENERATOR": "grpc"}},
		{ID: "strange", Type: istiod.Sidecar},
	}
	// A gateway and a sidecar first, then other namespaces, other service accounts, other labels.
	want := []string{"api.shop", "gw.istio-system", "job.batch", "web-a.shop", "web-v2.shop"}
	var got []string
	for _, c := range choose(clients) {
		got = append(got, c.ID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("choose (-want +got):\n%s", diff)
	}
}
