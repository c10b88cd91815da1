package builtin

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/gate/gatetest"
	"github.com/meshfleet/meshfleet/internal/istio"
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

func TestTooEarlyToCompare(t *testing.T) {
	byHand := gatewayAPIObject("Gateway", "ingress", "web", map[string]any{"spec": map[string]any{
		"gatewayClassName": "istio", "addresses": []any{map[string]any{"type": "Hostname", "value": "ingress.ingress.svc.cluster.local"}},
	}})
	proxy := func(kind, namespace string, labels map[string]string) istiod.Client {
		return istiod.Client{Type: kind, Labels: labels, Metadata: map[string]any{"NAMESPACE": namespace}}
	}
	tests := map[string]struct {
		client  istiod.Client
		version string
		want    bool
	}{
		"a sidecar":                              {client: proxy(istiod.Sidecar, "demo", nil)},
		"a gateway of Istio's own API":           {client: proxy(istiod.Router, "istio-system", nil)},
		"what istiod runs for a Gateway":         {client: proxy(istiod.Router, "demo", map[string]string{istio.ManagedGatewayLabel: "x"}), want: true},
		"a gateway that users run for a Gateway": {client: proxy(istiod.Router, "ingress", nil), want: true},
		"a sidecar beside it":                    {client: proxy(istiod.Sidecar, "ingress", nil)},
		"a release that knows all Gateways":      {client: proxy(istiod.Router, "ingress", nil), version: "99.0.0"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := gatetest.Subject()
			if tt.version != "" {
				m.ToVersion = tt.version
			}
			m.Client = gatewayAPIClient([]string{gatewayKind, "GatewayClass"}, []client.Object{byHand}, nil)
			isEarly, err := tooEarly(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if got := isEarly(tt.client); got != tt.want {
				t.Errorf("too early: %v, want %v", got, tt.want)
			}
		})
	}
}
