package builtin

import (
	"context"
	"slices"
	"strings"

	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
)

// sampleSize is how many proxies stand for all unless the gate is configured.
const sampleSize = 10

// ofOnePod are labels that Kubernetes or istiod gives to a pod, and that no selector of users is about.
var ofOnePod = []string{
	"pod-template-hash", "pod-template-generation", "controller-revision-hash", "statefulset.kubernetes.io/pod-name",
	"apps.kubernetes.io/pod-index", "job-name", "controller-uid", "batch.kubernetes.io/job-name", "batch.kubernetes.io/controller-uid",
	"batch.kubernetes.io/job-completion-index", "istio.io/rev", "topology.istio.io/cluster", "kubernetes.io/hostname",
}

// kindOf is what istiod's configuration of a proxy depends on, the coarsest first: two proxies that have all of it in
// common get the same configuration, but for what a Sidecar or an EnvoyFilter takes from other metadata.
func kindOf(c istiod.Client) []string {
	labels := make([]string, 0, len(c.Labels))
	for name, value := range c.Labels {
		if !slices.Contains(ofOnePod, name) {
			labels = append(labels, name+"="+value)
		}
	}
	slices.Sort(labels)
	kind := c.Type + " " + c.Text("NETWORK") + " " + c.Text("INTERCEPTION_MODE")
	namespace := kind + " " + c.Text("NAMESPACE")
	account := namespace + " " + c.Text("SERVICE_ACCOUNT")
	return []string{kind, namespace, account, account + " " + strings.Join(labels, ",")}
}

// choose puts proxies in the order in which they stand for others, one of each kind: the next one is always the one that
// shows most of what no former one shows: a type first, then a namespace, then a service account, then labels. Proxies
// that are no Envoy, or no sidecar and no gateway, are left out.
func choose(clients []istiod.Client) []istiod.Client {
	candidates := map[string]istiod.Client{}
	for _, c := range clients {
		if (c.Type != istiod.Sidecar && c.Type != istiod.Router) || c.Text("GENERATOR") != "" || c.Text("NAMESPACE") == "" {
			continue
		}
		parts := kindOf(c)
		key := parts[len(parts)-1]
		if known, ok := candidates[key]; !ok || c.ID < known.ID {
			candidates[key] = c
		}
	}
	var chosen []istiod.Client
	seen := map[string]bool{}
	for len(candidates) > 0 {
		best := ""
		for key := range candidates {
			if best == "" || better(candidates[key], candidates[best], seen) {
				best = key
			}
		}
		for _, part := range kindOf(candidates[best]) {
			seen[part] = true
		}
		chosen = append(chosen, candidates[best])
		delete(candidates, best)
	}
	return chosen
}

// better reports whether a shows something coarser than b that has not been seen. Names decide between equals.
func better(a, b istiod.Client, seen map[string]bool) bool {
	x, y := firstUnseen(a, seen), firstUnseen(b, seen)
	if x != y {
		return x < y
	}
	return a.ID < b.ID
}

func firstUnseen(c istiod.Client, seen map[string]bool) int {
	return slices.IndexFunc(kindOf(c), func(part string) bool { return !seen[part] })
}

// tooEarly selects the proxies that the new revision cannot be asked about yet: it knows the Gateways of the
// Gateway API only when the tags have moved. Where users run a gateway themselves, every gateway of its namespace counts.
func tooEarly(ctx context.Context, m *gate.Subject) (func(istiod.Client) bool, error) {
	if release, _ := istioversion.Of(m.ToVersion); !release.ConfiguresOwnGatewaysOnly {
		return func(istiod.Client) bool { return false }, nil
	}
	gateways, _, err := istioGateways(ctx, m)
	if err != nil {
		return nil, err
	}
	byHand := map[string]bool{}
	for i := range gateways {
		byHand[gateways[i].Namespace] = byHand[gateways[i].Namespace] || gateways[i].isByHand()
	}
	return func(c istiod.Client) bool {
		return c.Labels[istio.ManagedGatewayLabel] != "" || c.Type == istiod.Router && byHand[c.Text("NAMESPACE")]
	}, nil
}
