package member

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/parts/controlplane"
	"github.com/meshfleet/meshfleet/internal/parts/discovery"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// markingIstiod knows markers by pod and peer.
type markingIstiod struct {
	Istiod
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
			r := &Reconciler{Istiod: i}
			s := &scope{member: testutil.Member("east"), now: testutil.Now, state: &memberState{connection: &fleet.Member{}}}
			v := &verification{peers: []meshv1alpha1.PeerStatus{{Name: "west", State: mesh.PeerSynced}}}
			for range 3 {
				if err := r.askMarkers(t.Context(), s, pods, markersOf("240.0.0.1", 0), v); err != nil {
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
		state, known, former string
		marker               time.Duration
		proof                time.Duration
		want                 meshv1alpha1.PeerStatus
	}{
		"the marker arrived":               {mesh.PeerSynced, "240.0.0.2", "240.0.0.1", time.Hour, time.Hour, meshv1alpha1.PeerStatus{Name: "west", State: mesh.PeerSynced, Marker: "240.0.0.2"}},
		"it has time":                      {mesh.PeerSynced, "", "240.0.0.1", 30 * time.Second, time.Hour, meshv1alpha1.PeerStatus{Name: "west", State: mesh.PeerSynced, Marker: "240.0.0.1"}},
		"it does not arrive":               {mesh.PeerSynced, "240.0.0.1", "240.0.0.1", time.Minute, time.Hour, meshv1alpha1.PeerStatus{Name: "west", State: peerStale, Marker: "240.0.0.1"}},
		"a pod that is new has time":       {mesh.PeerSynced, "", "240.0.0.1", time.Hour, 30 * time.Second, meshv1alpha1.PeerStatus{Name: "west", State: mesh.PeerSynced, Marker: "240.0.0.1"}},
		"none ever arrived":                {mesh.PeerSynced, "", "", time.Hour, time.Hour, meshv1alpha1.PeerStatus{Name: "west", State: mesh.PeerSynced}},
		"istiod's own word is not covered": {"timeout", "", "240.0.0.1", time.Hour, time.Hour, meshv1alpha1.PeerStatus{Name: "west", State: "timeout", Marker: "240.0.0.1"}},
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

func TestReportRestart(t *testing.T) {
	ordered := &meshv1alpha1.IstiodRestart{OrderedAt: metav1.NewTime(testutil.Now.Add(-time.Minute)), Reason: meshv1alpha1.ReasonPeerStuck, Attempt: 1}
	restarted := []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{mesh.RestartAnnotation: controlplane.RestartedAt(ordered)}}}}
	secret := []metav1.PartialObjectMetadata{{ObjectMeta: metav1.ObjectMeta{Name: discovery.RemoteSecretName("west")}}}
	down := markersOf("240.0.0.1", time.Hour)
	down.reachable = nil
	cases := map[string]struct {
		peer       meshv1alpha1.PeerStatus
		secrets    []metav1.PartialObjectMetadata
		expected   expectedPeers
		changed    []string
		order      *meshv1alpha1.IstiodRestart
		pods       []corev1.Pod
		lasting    time.Duration
		wantReason string
		wantDone   bool
	}{
		"a peer that is synced":           {peer: meshv1alpha1.PeerStatus{State: mesh.PeerSynced}, secrets: secret, lasting: time.Hour},
		"one that is closed has time":     {peer: meshv1alpha1.PeerStatus{State: peerClosed}, secrets: secret, lasting: stuckAfter - time.Second},
		"then istiod needs a restart":     {peer: meshv1alpha1.PeerStatus{State: peerClosed}, secrets: secret, lasting: stuckAfter, wantReason: meshv1alpha1.ReasonPeerStuck},
		"so does one that is stale":       {peer: meshv1alpha1.PeerStatus{State: peerStale}, secrets: secret, lasting: stuckAfter, wantReason: meshv1alpha1.ReasonPeerStuck},
		"and one that istiod ignores":     {peer: meshv1alpha1.PeerStatus{State: absent}, secrets: secret, lasting: stuckAfter, wantReason: meshv1alpha1.ReasonPeerStuck},
		"without a Secret it waits":       {peer: meshv1alpha1.PeerStatus{State: absent}, lasting: time.Hour},
		"a restart cures no timeout":      {peer: meshv1alpha1.PeerStatus{State: "timeout"}, secrets: secret, lasting: time.Hour},
		"nor a peer that is down":         {peer: meshv1alpha1.PeerStatus{State: peerClosed}, secrets: secret, expected: down, lasting: time.Hour},
		"a peer's API server has moved":   {peer: meshv1alpha1.PeerStatus{State: mesh.PeerSynced}, secrets: secret, changed: []string{"west"}, wantReason: meshv1alpha1.ReasonRemoteSecretChanged},
		"a restart is over":               {peer: meshv1alpha1.PeerStatus{State: mesh.PeerSynced, Marker: "240.0.0.1"}, secrets: secret, order: ordered, pods: restarted, wantDone: true},
		"an old pod is still there":       {peer: meshv1alpha1.PeerStatus{State: mesh.PeerSynced, Marker: "240.0.0.1"}, secrets: secret, order: ordered, pods: append([]corev1.Pod{{}}, restarted...)},
		"the new one does not sync":       {peer: meshv1alpha1.PeerStatus{State: "syncing"}, secrets: secret, order: ordered, pods: restarted},
		"the new one lacks the marker":    {peer: meshv1alpha1.PeerStatus{State: mesh.PeerSynced, Marker: "240.0.0.0"}, secrets: secret, order: ordered, pods: restarted},
		"a peer that is down is not it":   {peer: meshv1alpha1.PeerStatus{State: "timeout"}, secrets: secret, expected: down, order: ordered, pods: restarted, wantDone: true},
		"where no marker ever came it is": {peer: meshv1alpha1.PeerStatus{State: mesh.PeerSynced}, secrets: secret, order: ordered, pods: restarted, wantDone: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.expected.serving == nil {
				c.expected = markersOf("240.0.0.1", time.Hour)
			}
			s := &scope{member: testutil.Member("east"), now: testutil.Now, changed: c.changed, state: &memberState{}}
			c.peer.Name = "west"
			s.state.stuckSince = map[string]time.Time{"west": testutil.Now.Add(-c.lasting)}
			if c.peer.Marker == "240.0.0.1" {
				s.state.verified.markers = map[string]string{"west": "240.0.0.1"}
			}
			s.member.Spec.IstiodRestart, s.member.Status.Discovery.Peers = c.order, []meshv1alpha1.PeerStatus{c.peer}
			(&Reconciler{}).reportRestart(s, c.pods, c.secrets, c.expected)
			reason := ""
			if need := s.member.Status.Discovery.RestartNeeded; need != nil {
				reason = need.Reason
			}
			if reason != c.wantReason {
				t.Errorf("reason is %q, want %q", reason, c.wantReason)
			}
			if done := c.order != nil && !mesh.IsRestarting(s.member); done != c.wantDone {
				t.Errorf("the restart is over: %v, want %v", done, c.wantDone)
			}
		})
	}
}
