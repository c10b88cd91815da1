package builtin

import (
	"testing"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate/gatetest"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
)

func TestPeersSynced(t *testing.T) {
	const ours = "istio-system/istio-remote-secret-west"
	tests := map[string]struct {
		answers string
		want    meshv1alpha1.Verdict
		words   string
	}{
		"no pod answers": {`{}`, meshv1alpha1.VerdictInconclusive, "no istiod pod"},
		"every pod reads the peer": {`{"a":[{"id":"east","syncStatus":"synced"},{"id":"west","secretName":"` + ours + `","syncStatus":"synced"}],
			"b":[{"id":"west","secretName":"` + ours + `","syncStatus":"synced"}]}`, meshv1alpha1.VerdictPass, "1 peer synced in 2 istiod pods"},
		"one pod does not know the peer": {`{"a":[{"id":"west","secretName":"` + ours + `","syncStatus":"synced"}],"b":[{"id":"east"}]}`,
			meshv1alpha1.VerdictFail, "b: west is missing"},
		"one pod is still reading": {`{"a":[{"id":"west","secretName":"` + ours + `","syncStatus":"syncing"}]}`,
			meshv1alpha1.VerdictInconclusive, "a: west is syncing"},
		"one pod has given up": {`{"a":[{"id":"west","secretName":"` + ours + `","syncStatus":"timeout"}]}`,
			meshv1alpha1.VerdictFail, "a: west is timeout"},
		"the peer is read with another's credential": {`{"a":[{"id":"west","secretName":"istio-system/mine","syncStatus":"synced"}]}`,
			meshv1alpha1.VerdictFail, "istio-system/mine, which is not ours"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			former := gatetest.Decode[[]istiod.RemoteCluster](t, `{"old":[{"id":"west","secretName":"`+ours+`","syncStatus":"synced"}]}`)
			got := judgePeers(gatetest.Subject(), gatetest.Decode[[]istiod.RemoteCluster](t, test.answers), former, now.Add(-time.Hour))
			gatetest.Check(t, got, test.want, test.words)
		})
	}
	timeout := gatetest.Decode[[]istiod.RemoteCluster](t, `{"a":[{"id":"west","secretName":"`+ours+`","syncStatus":"timeout"}]}`)
	gatetest.Check(t, judgePeers(gatetest.Subject(), timeout, timeout, now.Add(-time.Hour)),
		meshv1alpha1.VerdictInconclusive, "a: west is timeout, and revision 1-28-3 does not read it either")
	gatetest.Check(t, judgePeers(gatetest.Subject(), timeout, nil, now.Add(-20*time.Second)), meshv1alpha1.VerdictInconclusive, "a: west is timeout")
}

// TestPeersThatAreDown fails no member for what a peer that is down takes away, and leaves it out where people want that.
func TestPeersThatAreDown(t *testing.T) {
	timeout := gatetest.Decode[[]istiod.RemoteCluster](t, `{"a":[{"id":"west","syncStatus":"timeout"}]}`)
	synced := gatetest.Decode[[]istiod.RemoteCluster](t, `{"old":[{"id":"west","syncStatus":"synced"}]}`)
	m := gatetest.Subject()
	m.Down = []string{"west"}
	gatetest.Check(t, judgePeers(m, timeout, synced, now.Add(-time.Hour)), meshv1alpha1.VerdictInconclusive, "cannot be reached")
	m.IgnoreDown = true
	gatetest.Check(t, judgePeers(m, timeout, synced, now.Add(-time.Hour)), meshv1alpha1.VerdictPass, "")
}
