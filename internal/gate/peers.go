package gate

import (
	"context"
	"fmt"
	"slices"

	"github.com/meshfleet/meshfleet/internal/discovery"
	"github.com/meshfleet/meshfleet/internal/xds"
)

// peersSynced passes when every istiod pod reads every peer through our Secret and has filled its caches.
func peersSynced(ctx context.Context, m *Member) (Answer, error) {
	answers, err := askAll(ctx, m, m.To, xds.Clusters)
	if err != nil {
		return Answer{}, err
	}
	return judgePeers(m, answers), nil
}

func judgePeers(m *Member, answers map[string][]xds.RemoteCluster) Answer {
	if len(answers) == 0 {
		return noIstiod(m.To)
	}
	var bad, syncing []string
	for pod, clusters := range answers {
		for _, peer := range m.Peers {
			i := slices.IndexFunc(clusters, func(c xds.RemoteCluster) bool { return c.ID == peer })
			switch {
			case i < 0:
				bad = append(bad, fmt.Sprintf("%s does not read %s", pod, peer))
			case clusters[i].SecretName != m.Namespace+"/"+discovery.RemoteSecretName(peer):
				bad = append(bad, fmt.Sprintf("%s reads %s through Secret %s, which is not ours", pod, peer, clusters[i].SecretName))
			case clusters[i].SyncStatus == "syncing":
				syncing = append(syncing, fmt.Sprintf("%s still reads %s", pod, peer))
			case clusters[i].SyncStatus != "synced":
				bad = append(bad, fmt.Sprintf("%s cannot read %s: %s", pod, peer, clusters[i].SyncStatus))
			}
		}
	}
	switch {
	case len(bad) > 0:
		return fail("%s", some(bad))
	case len(syncing) > 0:
		return inconclusive("%s", some(syncing))
	}
	return pass("%s synced, says %s", count(len(m.Peers), "peer"), count(len(answers), "istiod pod"))
}
