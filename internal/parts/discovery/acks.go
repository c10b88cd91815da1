package discovery

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/member"
)

const (
	// endpointType is what istiod tells proxies of addresses with, those of gateways among them.
	endpointType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	// clocks is by how much istiod's clock may differ from the hub's without more than delay.
	clocks = 2 * time.Second
	// debounce is how long after a change a proxy is not believed yet: istiod gathers changes before it sends them.
	debounce = 2 * time.Second
	// nothingToSend is after how long istiod has sent a proxy nothing of a change because there is nothing to be sent.
	nothingToSend = 20 * time.Second
	// ackDeadline bounds the wait for a proxy that acknowledges nothing: it gets nothing else from istiod either.
	ackDeadline = 2 * time.Minute
)

// gatewayAcks follows how a change of the gateways that istiod knows gets to proxies. Losing it, as at a restart of the
// operator, means to wait for debounce alone where the time of the change would prove more.
type gatewayAcks struct {
	// known are the gateways as of the last look, at its time; since is when they were first seen so, and after is a time
	// at which they were not so yet.
	known            []meshv1alpha1.NetworkGateway
	at, since, after time.Time
}

// look notes what istiod knows now. Announced is when a gateway was last announced by a peer: what is known of it now was
// not known before.
func (t *gatewayAcks) look(known []meshv1alpha1.NetworkGateway, announced, now time.Time) {
	if t.since.IsZero() || !slices.Equal(t.known, known) {
		t.known, t.since, t.after = slices.Clone(known), now, t.at
		if announced.After(t.after) && announced.Before(now) {
			t.after = announced
		}
	}
	t.at = now
}

// hasAcked says whether a connected proxy has acknowledged what istiod had to say of the change.
func (t *gatewayAcks) hasAcked(p *istiod.Proxy, now time.Time) bool {
	endpoints, hasAny := p.Resources[endpointType]
	switch {
	case !hasAny:
		// It has asked for no endpoints, and will be sent present ones when it does.
		return true
	case endpoints.Sent != endpoints.Acked || now.Sub(t.since) < debounce:
		return false
	}
	return endpoints.SentAt.After(t.after.Add(-clocks)) || now.Sub(t.since) >= nothingToSend
}

// behind are the proxies that have not acknowledged the change. One that is connected twice is as far as its better
// connection: the other is what a former one has left.
func (t *gatewayAcks) behind(answers [][]istiod.Proxy, now time.Time) []string {
	told := map[string]bool{}
	for _, proxies := range answers {
		for i := range proxies {
			told[proxies[i].ID] = told[proxies[i].ID] || t.hasAcked(&proxies[i], now)
		}
	}
	var out []string
	for id, isTold := range told {
		if !isTold {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// acknowledged brings up to date which gateways the member's proxies have acknowledged: those that every istiod pod
// knows, from the moment at which every proxy has acknowledged what it was sent since. Proxies are asked only while that
// differs from what is in the status.
func (s *Steps) acknowledged(ctx context.Context, pass *member.Pass, pods []corev1.Pod, v *verification, expected expectedPeers) error {
	d, t := &pass.Object.Status.Discovery, &s.memory.Of(pass).acks
	t.look(v.gateways, expected.announced, pass.Now)
	switch {
	case slices.Equal(d.ProxyGateways, v.gateways):
		return nil
	case !v.agree && pass.Now.Sub(t.since) < ackDeadline:
		return nil
	}
	var answers [][]istiod.Proxy
	for i := range pods {
		proxies, err := member.Proxies(ctx, s.Istiod, pass.Config(), &pods[i])
		if err != nil {
			return err
		}
		answers = append(answers, proxies)
	}
	if len(t.behind(answers, pass.Now)) == 0 || pass.Now.Sub(t.since) >= ackDeadline {
		d.ProxyGateways = slices.Clone(v.gateways)
	}
	return nil
}
