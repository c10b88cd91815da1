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
	cases := map[string]struct {
		state         meshv1alpha1.PeerState
		known, former string
		marker        time.Duration
		proof         time.Duration
		want          meshv1alpha1.PeerStatus
	}{
		"the marker arrived":               {meshv1alpha1.PeerSynced, "240.0.0.2", "240.0.0.1", time.Hour, time.Hour, meshv1alpha1.PeerStatus{Name: "west", State: meshv1alpha1.PeerSynced, Marker: "240.0.0.2"}},
		"it has time":                      {meshv1alpha1.PeerSynced, "", "240.0.0.1", 30 * time.Second, time.Hour, meshv1alpha1.PeerStatus{Name: "west", State: meshv1alpha1.PeerSynced, Marker: "240.0.0.1"}},
		"it does not arrive":               {meshv1alpha1.PeerSynced, "240.0.0.1", "240.0.0.1", time.Minute, time.Hour, meshv1alpha1.PeerStatus{Name: "west", State: meshv1alpha1.PeerStale, Marker: "240.0.0.1"}},
		"a pod that is new has time":       {meshv1alpha1.PeerSynced, "", "240.0.0.1", time.Hour, 30 * time.Second, meshv1alpha1.PeerStatus{Name: "west", State: meshv1alpha1.PeerSynced, Marker: "240.0.0.1"}},
		"none ever arrived":                {meshv1alpha1.PeerSynced, "", "", time.Hour, time.Hour, meshv1alpha1.PeerStatus{Name: "west", State: meshv1alpha1.PeerSynced}},
		"istiod's own word is not covered": {meshv1alpha1.PeerTimedOut, "", "240.0.0.1", time.Hour, time.Hour, meshv1alpha1.PeerStatus{Name: "west", State: meshv1alpha1.PeerTimedOut, Marker: "240.0.0.1"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			v := &verification{peers: []meshv1alpha1.PeerStatus{{Name: "west", State: c.state}}, since: testutil.Now.Add(-c.proof), markers: map[string]string{}}
			if c.known != "" {
				v.markers["west"] = c.known
			}
			got := v.marked([]meshv1alpha1.PeerStatus{{Name: "west", Marker: c.former}}, markersOf("240.0.0.2", c.marker), testutil.Now)
			if diff := cmp.Diff([]meshv1alpha1.PeerStatus{c.want}, got); diff != "" {
				t.Errorf("peers (-want +got):\n%s", diff)
			}
		})
	}
}
