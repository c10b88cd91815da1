package builtin

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/parts/discovery"
)

// peersSynced passes when every istiod pod reads every peer through our Secret and has filled its caches.
func peersSynced(ctx context.Context, m *gate.Subject) (gate.Answer, error) {
	answers, err := askAll(ctx, m, m.To, istiod.Clusters)
	if err != nil {
		return gate.Answer{}, err
	}
	former := map[string][]istiod.RemoteCluster{}
	if m.From != "" {
		if former, err = askAll(ctx, m, m.From, istiod.Clusters); err != nil {
			return gate.Answer{}, err
		}
	}
	newest, err := newestIstiod(ctx, m, m.To)
	return judgePeers(m, answers, former, newest), err
}

// judgePeers fails only what the new revision alone cannot do: a peer that the former one does not read either
// is in trouble itself, and an istiod that has just started has not given up for good.
func judgePeers(m *gate.Subject, answers, former map[string][]istiod.RemoteCluster, newestIstiod time.Time) gate.Answer {
	if len(answers) == 0 {
		return gate.NoIstiod(m.To)
	}
	var bad, pending []string
	for pod, clusters := range answers {
		for _, peer := range m.Peers {
			state := peerState(m, clusters, peer)
			isDown := slices.Contains(m.Down, peer)
			switch {
			case state == mesh.IstiodSynced, isDown && m.IgnoreDown:
			case isDown:
				pending = append(pending, fmt.Sprintf("%s: %s is %s, and cannot be reached", pod, peer, state))
			case state == "syncing", m.Now.Sub(newestIstiod) <= readGrace:
				pending = append(pending, fmt.Sprintf("%s: %s is %s", pod, peer, state))
			case slices.ContainsFunc(slices.Collect(maps.Values(former)), func(clusters []istiod.RemoteCluster) bool { return peerState(m, clusters, peer) != mesh.IstiodSynced }):
				pending = append(pending, fmt.Sprintf("%s: %s is %s, and revision %s does not read it either", pod, peer, state, m.From))
			default:
				bad = append(bad, fmt.Sprintf("%s: %s is %s", pod, peer, state))
			}
		}
	}
	switch {
	case len(bad) > 0:
		return gate.Fail("%s", mesh.Capped(bad))
	case len(pending) > 0:
		return gate.Inconclusive("%s", mesh.Capped(pending))
	}
	return gate.Pass("%s synced in %s", gate.Count(len(m.Peers), "peer"), gate.Count(len(answers), "istiod pod"))
}

// peerState is the state that istiod reports of a peer, or the reason why it does not read the peer as it should.
func peerState(m *gate.Subject, clusters []istiod.RemoteCluster, peer string) string {
	i := slices.IndexFunc(clusters, func(c istiod.RemoteCluster) bool { return c.ID == peer })
	switch {
	case i < 0:
		return "missing"
	case clusters[i].SecretName != m.Namespace+"/"+discovery.RemoteSecretName(peer):
		return "read through Secret " + clusters[i].SecretName + ", which is not ours"
	}
	return clusters[i].SyncStatus
}
