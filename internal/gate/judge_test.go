package gate

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func testMember() *Member {
	return &Member{Namespace: "istio-system", Installation: "meshes.shop", Cluster: "east", Peers: []string{"west"},
		From: "1-28-3", To: "1-29-1", FromVersion: "1.28.3", ToVersion: "1.29.1", Tags: []string{"default", "prod"}, now: now}
}

func checkAnswer(t *testing.T, got Answer, verdict meshv1alpha1.Verdict, words string) {
	t.Helper()
	if got.Verdict != verdict || !strings.Contains(got.Message, words) {
		t.Errorf("%s: %s, want %s with %q", got.Verdict, got.Message, verdict, words)
	}
}

// decode reads what istiod pods answer, by name of the pod.
func decode[T any](t *testing.T, text string) map[string]T {
	t.Helper()
	out := map[string]T{}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPeersSynced(t *testing.T) {
	const ours = "istio-system/istio-remote-secret-west"
	tests := map[string]struct {
		answers string
		want    meshv1alpha1.Verdict
		words   string
	}{
		"no pod answers": {`{}`, meshv1alpha1.VerdictInconclusive, "no istiod pod"},
		"every pod reads the peer": {`{"a":[{"id":"east","syncStatus":"synced"},{"id":"west","secretName":"` + ours + `","syncStatus":"synced"}],
			"b":[{"id":"west","secretName":"` + ours + `","syncStatus":"synced"}]}`, meshv1alpha1.VerdictPass, "1 peer synced, says 2 istiod pods"},
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
			former := decode[[]istiod.RemoteCluster](t, `{"old":[{"id":"west","secretName":"`+ours+`","syncStatus":"synced"}]}`)
			got := judgePeers(testMember(), decode[[]istiod.RemoteCluster](t, test.answers), former, now.Add(-time.Hour))
			checkAnswer(t, got, test.want, test.words)
		})
	}
	timeout := decode[[]istiod.RemoteCluster](t, `{"a":[{"id":"west","secretName":"`+ours+`","syncStatus":"timeout"}]}`)
	checkAnswer(t, judgePeers(testMember(), timeout, timeout, now.Add(-time.Hour)),
		meshv1alpha1.VerdictInconclusive, "a: west is timeout, and revision 1-28-3 does not read it either")
	checkAnswer(t, judgePeers(testMember(), timeout, nil, now.Add(-20*time.Second)), meshv1alpha1.VerdictInconclusive, "a: west is timeout")
}

// TestPeersThatAreDown judges nobody for what a peer that is down takes away, and leaves it out where people want that.
func TestPeersThatAreDown(t *testing.T) {
	timeout := decode[[]istiod.RemoteCluster](t, `{"a":[{"id":"west","syncStatus":"timeout"}]}`)
	synced := decode[[]istiod.RemoteCluster](t, `{"old":[{"id":"west","syncStatus":"synced"}]}`)
	m := testMember()
	m.Down = []string{"west"}
	checkAnswer(t, judgePeers(m, timeout, synced, now.Add(-time.Hour)), meshv1alpha1.VerdictInconclusive, "cannot be reached")
	m.IgnoreDown = true
	checkAnswer(t, judgePeers(m, timeout, synced, now.Add(-time.Hour)), meshv1alpha1.VerdictPass, "")
}

func TestConfigAccepted(t *testing.T) {
	const alive = `"istio_build":[{"Labels":{"component":"pilot"},"Value":1}]`
	tests := map[string]struct {
		answers string
		want    meshv1alpha1.Verdict
		words   string
	}{
		"no pod answers":               {`{}`, meshv1alpha1.VerdictInconclusive, "no istiod pod"},
		"counters that do not exist":   {`{"a":{` + alive + `}}`, meshv1alpha1.VerdictPass, "nothing was rejected, says 1 istiod pod"},
		"a pod with no metric of ours": {`{"a":{` + alive + `},"b":{"go_goroutines":[{"Value":3}]}}`, meshv1alpha1.VerdictInconclusive, "b"},
		"pushes that were sent": {`{"a":{` + alive + `,"pilot_xds_pushes":[{"Labels":{"type":"cds"},"Value":8},{"Labels":{"type":"cds_senderr"},"Value":0}]}}`,
			meshv1alpha1.VerdictPass, "nothing"},
		"rejections of two pods": {`{"a":{` + alive + `,"pilot_total_xds_rejects":[{"Labels":{"type":"lds"},"Value":2}],
			"pilot_xds_lds_reject":[{"Labels":{"node":"web-0.demo","err":"x"},"Value":2},{"Labels":{"node":"old-0.demo","err":"x"},"Value":0}]},
			"b":{` + alive + `,"pilot_total_xds_rejects":[{"Labels":{"type":"lds"},"Value":1},{"Labels":{"type":"cds"},"Value":1}]}}`,
			meshv1alpha1.VerdictFail, "rejected cds: 1, rejected lds: 3; rejected by web-0.demo"},
		"a push that could not be sent": {`{"a":{` + alive + `,"pilot_xds_pushes":[{"Labels":{"type":"eds_senderr"},"Value":1}]}}`,
			meshv1alpha1.VerdictFail, "unsent eds: 1"},
		"an internal error": {`{"a":{"pilot_total_xds_internal_errors":[{"Value":2}]}}`, meshv1alpha1.VerdictFail, "internal errors: 2"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			checkAnswer(t, judgeMetrics(testMember(), decode[map[string][]istiod.Sample](t, test.answers)), test.want, test.words)
		})
	}
}
