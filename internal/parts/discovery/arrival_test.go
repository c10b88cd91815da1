package discovery

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

var errRefused = errors.New("connection refused")

// markingIstiod knows markers by pod and peer.
type markingIstiod struct {
	member.Istiod
	known map[string]map[string][]string
	asked int
}

func (m *markingIstiod) Addresses(_ context.Context, _ *rest.Config, _, pod, name string) (map[string][]string, error) {
	m.asked++
	if name != mesh.DiscoveryMarkerName {
		return nil, errRefused
	}
	if known, ok := m.known[pod]; ok {
		return known, nil
	}
	return nil, errRefused
}

func markersOf(address string, ago time.Duration) expectedPeers {
	return expectedPeers{
		serving: map[string]bool{"west": true}, reachable: map[string]bool{"west": true},
		markers: map[string]meshv1alpha1.DiscoveryMarker{"west": {Address: address, Since: metav1.NewTime(testutil.Now.Add(-ago))}},
	}
}

func TestMarkersMustBeKnownToEveryPod(t *testing.T) {
	pods := []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, {ObjectMeta: metav1.ObjectMeta{Name: "b"}}}
	cases := map[string]struct {
		b    []string
		want map[string]string
	}{
		"both know it": {[]string{"240.0.0.1"}, map[string]string{"west": "240.0.0.1"}},
		"one does not": {[]string{"240.0.0.9"}, map[string]string{}},
		"one is empty": {nil, map[string]string{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			i := &markingIstiod{known: map[string]map[string][]string{"a": {"west": {"240.0.0.1"}}, "b": {"west": c.b}}}
			s, pass := &Steps{Istiod: i}, membertest.Pass(t, testutil.Member("east"))
			v := &verification{peers: []meshv1alpha1.PeerStatus{{Name: "west", State: meshv1alpha1.PeerSynced}}}
			for range 3 {
				if err := s.askMarkers(t.Context(), pass, pods, markersOf("240.0.0.1", 0), v); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(c.want, v.markers); diff != "" {
				t.Errorf("markers (-want +got):\n%s", diff)
			}
			if i.asked != 2 {
				t.Errorf("asked %d times within %v, want each pod once", i.asked, markerPace)
			}
		})
	}
}

func TestMarked(t *testing.T) {
	west := func(state meshv1alpha1.PeerState, marker string) meshv1alpha1.PeerStatus {
		return meshv1alpha1.PeerStatus{Name: "west", State: state, Marker: marker}
	}
	const synced, stale, timedOut = meshv1alpha1.PeerSynced, meshv1alpha1.PeerStale, meshv1alpha1.PeerTimedOut
	cases := map[string]struct {
		state         meshv1alpha1.PeerState
		known, former string
		marker, proof time.Duration
		asked         time.Duration
		replaced      time.Duration
		want          meshv1alpha1.PeerStatus
	}{
		"the marker arrived":               {state: synced, known: "240.0.0.2", former: "240.0.0.1", marker: time.Hour, proof: time.Hour, want: west(synced, "240.0.0.2")},
		"it has time":                      {state: synced, former: "240.0.0.1", marker: markerDeadline - time.Second, proof: time.Hour, want: west(synced, "240.0.0.1")},
		"it does not arrive":               {state: synced, known: "240.0.0.1", former: "240.0.0.1", marker: markerDeadline, proof: time.Hour, want: west(stale, "240.0.0.1")},
		"istiod was last asked before":     {state: synced, former: "240.0.0.1", marker: markerDeadline, proof: time.Hour, asked: time.Second, want: west(synced, "240.0.0.1")},
		"the token was replaced just now":  {state: synced, former: "240.0.0.1", marker: time.Hour, proof: time.Hour, replaced: tokenDeadline - time.Second, want: west(synced, "240.0.0.1")},
		"peers have had time for it":       {state: synced, former: "240.0.0.1", marker: time.Hour, proof: time.Hour, replaced: tokenDeadline, want: west(stale, "240.0.0.1")},
		"a pod that is new has time":       {state: synced, former: "240.0.0.1", marker: time.Hour, proof: markerDeadline - time.Second, want: west(synced, "240.0.0.1")},
		"none ever arrived":                {state: synced, marker: time.Hour, proof: time.Hour, want: west(synced, "")},
		"istiod's own word is not covered": {state: timedOut, former: "240.0.0.1", marker: time.Hour, proof: time.Hour, want: west(timedOut, "240.0.0.1")},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			v := &verification{peers: []meshv1alpha1.PeerStatus{{Name: "west", State: c.state}}, since: testutil.Now.Add(-c.proof), markers: map[string]string{},
				markersAt: testutil.Now.Add(-c.asked)}
			if c.known != "" {
				v.markers["west"] = c.known
			}
			expected := markersOf("240.0.0.2", c.marker)
			if c.replaced > 0 {
				marker := expected.markers["west"]
				marker.TokenReplaced = &metav1.Time{Time: testutil.Now.Add(-c.replaced)}
				expected.markers["west"] = marker
			}
			got := v.marked([]meshv1alpha1.PeerStatus{{Name: "west", Marker: c.former}}, expected)
			if diff := cmp.Diff([]meshv1alpha1.PeerStatus{c.want}, got); diff != "" {
				t.Errorf("peers (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSteadyMarkersAreAskedForRarely wants an istiod that is no longer new to be asked for markers every few minutes, whatever the number of
// peers whose markers change, and at once often again when one is stale.
func TestSteadyMarkersAreAskedForRarely(t *testing.T) {
	pods := []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "a"}}}
	cases := map[string]struct {
		peers   int
		state   meshv1alpha1.PeerState
		age     time.Duration
		wantMin int
		wantMax int
	}{
		"a small mesh":     {peers: 2, state: meshv1alpha1.PeerSynced, age: time.Hour, wantMin: 4, wantMax: 6},
		"a large mesh":     {peers: 400, state: meshv1alpha1.PeerSynced, age: time.Hour, wantMin: 1, wantMax: 2},
		"a new istiod":     {peers: 2, state: meshv1alpha1.PeerSynced, wantMin: 20, wantMax: 24},
		"a peer is stale":  {peers: 2, state: meshv1alpha1.PeerStale, age: time.Hour, wantMin: 55, wantMax: 61},
		"it is restarting": {peers: 2, state: meshv1alpha1.PeerSynced, age: time.Hour, wantMin: 55, wantMax: 61},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			i := &markingIstiod{known: map[string]map[string][]string{"a": {}}}
			s, m := &Steps{Istiod: i}, testutil.Member("east")
			m.Spec.Peers, m.Status.Discovery.Peers = make([]meshv1alpha1.Peer, c.peers), []meshv1alpha1.PeerStatus{{Name: "west", State: c.state}}
			if name == "it is restarting" {
				m.Spec.IstiodRestart = &meshv1alpha1.IstiodRestart{OrderedAt: metav1.NewTime(testutil.Now)}
			}
			passAt := membertest.Passes(t, m, fake.NewClientBuilder().Build())
			v := &verification{peers: m.Status.Discovery.Peers, since: testutil.Now.Add(-c.age)}
			for second := range 600 {
				// A marker of some peer changes all the time.
				testutil.Must(t, s.askMarkers(t.Context(), passAt(testutil.Now.Add(time.Duration(second)*time.Second)), pods, markersOf("240.0.0.1", 0), v))
			}
			if i.asked < c.wantMin || i.asked > c.wantMax {
				t.Errorf("asked %d times in 10 minutes, want %d to %d", i.asked, c.wantMin, c.wantMax)
			}
		})
	}
}
