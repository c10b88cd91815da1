package gate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/parts/discovery"
)

const stateSynced = "synced"

// peersSynced passes when every istiod pod reads every peer through our Secret and has filled its caches.
func peersSynced(ctx context.Context, m *Member) (Answer, error) {
	return lookAgain(ctx, func() (Answer, bool, error) {
		answers, err := askAll(ctx, m, m.To, istiod.Clusters)
		if err != nil {
			return Answer{}, true, err
		}
		former := map[string][]istiod.RemoteCluster{}
		if m.From != "" {
			if former, err = askAll(ctx, m, m.From, istiod.Clusters); err != nil {
				return Answer{}, true, err
			}
		}
		newest, err := m.newestIstiod(ctx, m.To)
		a := judgePeers(m, answers, former, newest)
		return a, isPass(a) || len(answers) == 0, err
	})
}

// judgePeers says Fail only of what the new revision alone cannot do: a peer that the former one does not read either
// is in trouble itself, and an istiod that has just started has not given up for good.
func judgePeers(m *Member, answers, former map[string][]istiod.RemoteCluster, newestIstiod time.Time) Answer {
	if len(answers) == 0 {
		return noIstiod(m.To)
	}
	var bad, pending []string
	for pod, clusters := range answers {
		for _, peer := range m.Peers {
			state := m.peerState(clusters, peer)
			isDown := slices.Contains(m.Down, peer)
			switch {
			case state == stateSynced, isDown && m.IgnoreDown:
			case isDown:
				pending = append(pending, fmt.Sprintf("%s: %s is %s, and cannot be reached", pod, peer, state))
			case state == "syncing", m.now.Sub(newestIstiod) <= readGrace:
				pending = append(pending, fmt.Sprintf("%s: %s is %s", pod, peer, state))
			case slices.ContainsFunc(keys(former), func(pod string) bool { return m.peerState(former[pod], peer) != stateSynced }):
				pending = append(pending, fmt.Sprintf("%s: %s is %s, and revision %s does not read it either", pod, peer, state, m.From))
			default:
				bad = append(bad, fmt.Sprintf("%s: %s is %s", pod, peer, state))
			}
		}
	}
	switch {
	case len(bad) > 0:
		return fail("%s", some(bad))
	case len(pending) > 0:
		return inconclusive("%s", some(pending))
	}
	return pass("%s synced, says %s", count(len(m.Peers), "peer"), count(len(answers), "istiod pod"))
}

// peerState is istiod's word for how far it reads a peer, or ours when it does not as it should.
func (m *Member) peerState(clusters []istiod.RemoteCluster, peer string) string {
	i := slices.IndexFunc(clusters, func(c istiod.RemoteCluster) bool { return c.ID == peer })
	switch {
	case i < 0:
		return "missing"
	case clusters[i].SecretName != m.Namespace+"/"+discovery.RemoteSecretName(peer):
		return "read through Secret " + clusters[i].SecretName + ", which is not ours"
	}
	return clusters[i].SyncStatus
}
