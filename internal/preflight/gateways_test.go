package preflight

import (
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// eastWest is the Deployment of the new gateway, and listener the operator's own Gateway.
	eastWest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: istio-eastwestgateway-1-29-1, namespace: istio-system}
spec: {template: {metadata: {labels: {istio: eastwestgateway, app: istio-eastwestgateway-1-29-1}}}}`
	listener = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: cross-network-gateway, namespace: istio-system}
spec: {selector: {istio: eastwestgateway}, servers: [{port: {number: 15443}, hosts: ["*.local"]}]}`
)

func TestGateways(t *testing.T) {
	gateway := func(name, selector string, port string) string {
		return `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: ` + name + `, namespace: legacy}
spec: {selector: ` + selector + `, servers: [{port: {number: ` + port + `}, hosts: ["*.cluster.local"]}]}`
	}
	for name, c := range map[string]struct {
		live []string
		want string
	}{
		"only the operator's own": {live: []string{listener}},
		"that of Istio's guide, from a former install": {
			live: []string{listener, gateway("cross-network-gateway", "{istio: eastwestgateway}", "15443")},
			want: "the Gateways legacy/cross-network-gateway have a server at port 15443",
		},
		"one by the name of the new gateway": {live: []string{gateway("own", "{app: istio-eastwestgateway-1-29-1}", "15443")}, want: "legacy/own"},
		"one without a selector":             {live: []string{gateway("all", "{}", "15443")}, want: "legacy/all"},
		"another port":                       {live: []string{gateway("https", "{istio: eastwestgateway}", "443")}},
		"other pods":                         {live: []string{gateway("ingress", "{istio: ingressgateway}", "15443")}},
	} {
		t.Run(name, func(t *testing.T) {
			var live []client.Object
			for _, text := range c.live {
				live = append(live, object(t, text))
			}
			m := subject(t, allowed{}, live...)
			m.After = append(m.After, object(t, eastWest), object(t, listener))
			f, err := gateways(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(f.Problems, "; "); !strings.Contains(got, c.want) || c.want == "" && got != "" {
				t.Errorf("problems %q, want %q", got, c.want)
			}
			if c.want != "" && !strings.Contains(f.Problems[0], "delete them") {
				t.Errorf("%q has no cure", f.Problems[0])
			}
		})
	}
}
