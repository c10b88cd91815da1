package preflight

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// gateways looks for Gateways of others with a server at the port of the east-west gateway's pods. Envoy may reject the listener that
// istiod makes of both: pods that run keep their last one, and a pod of the new revision has none.
func gateways(ctx context.Context, m *Subject) (Finding, error) {
	var pods []map[string]string
	for _, o := range ofKind(m.After, "Deployment") {
		labels, _, err := unstructured.NestedStringMap(o.Object, "spec", "template", "metadata", "labels")
		if err != nil {
			return Finding{}, fmt.Errorf("read %s: %w", identityOf(o), err)
		}
		if labels["istio"] == mesh.GatewayLabel {
			pods = append(pods, labels)
		}
	}
	own := map[string]bool{}
	for _, o := range ofKind(m.After, istio.GatewayKind.Kind) {
		own[o.GetNamespace()+"/"+o.GetName()] = true
	}
	var others []string
	list := istio.GatewayList()
	if err := pages(ctx, m.Client, list, func() {
		for i := range list.Items {
			g := &list.Items[i]
			name := g.GetNamespace() + "/" + g.GetName()
			if !own[name] && slices.ContainsFunc(pods, func(labels map[string]string) bool { return istio.HasServerAt(g, labels, istio.PassthroughPort) }) {
				others = append(others, name)
			}
		}
	}); err != nil {
		return Finding{}, fmt.Errorf("list Gateways: %w", err)
	}
	if len(others) == 0 {
		return Finding{Note: "no other Gateway serves the port of the east-west gateway"}, nil
	}
	return Finding{Problems: []string{fmt.Sprintf("the Gateways %s have a server at port %d of the pods of the east-west gateway; Envoy in new pods may reject "+
		"the listener: delete them, or give them another selector or port", some(others, ", "), istio.PassthroughPort)}}, nil
}
