package gate

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshfleet/meshfleet/internal/xds"
)

func proxy(id, kind, namespace, account string, labels map[string]string) xds.Client {
	return xds.Client{ID: id, Type: kind, Labels: labels, Metadata: map[string]any{"NAMESPACE": namespace, "SERVICE_ACCOUNT": account}}
}

func TestChoose(t *testing.T) {
	clients := []xds.Client{
		proxy("web-b.shop", xds.Sidecar, "shop", "web", map[string]string{"app": "web", "pod-template-hash": "b"}),
		proxy("web-a.shop", xds.Sidecar, "shop", "web", map[string]string{"app": "web", "pod-template-hash": "a"}),
		proxy("web-v2.shop", xds.Sidecar, "shop", "web", map[string]string{"app": "web", "version": "v2"}),
		proxy("api.shop", xds.Sidecar, "shop", "api", map[string]string{"app": "api"}),
		proxy("job.batch", xds.Sidecar, "batch", "default", nil),
		proxy("gw.istio-system", xds.Router, "istio-system", "gw", nil),
		proxy("zt.istio-system", "ztunnel", "istio-system", "ztunnel", nil),
		{ID: "grpc.shop", Type: xds.Sidecar, Metadata: map[string]any{"NAMESPACE": "shop", "GENERATOR": "grpc"}},
		{ID: "strange", Type: xds.Sidecar},
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
