package discovery

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func TestReportRestart(t *testing.T) {
	ordered := &meshv1alpha1.IstiodRestart{OrderedAt: metav1.NewTime(testutil.Now.Add(-time.Minute)), Reason: meshv1alpha1.ReasonPeerStuck, Attempt: 1}
	restarted := []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{mesh.RestartAnnotation: mesh.RestartedAt(ordered)}}}}
	secret := []metav1.PartialObjectMetadata{{ObjectMeta: metav1.ObjectMeta{Name: RemoteSecretName("west")}}}
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
		"a peer that is synced":           {peer: meshv1alpha1.PeerStatus{State: meshv1alpha1.PeerSynced}, secrets: secret, lasting: time.Hour},
		"one that is closed has time":     {peer: meshv1alpha1.PeerStatus{State: meshv1alpha1.PeerClosed}, secrets: secret, lasting: stuckAfter - time.Second},
		"then istiod needs a restart":     {peer: meshv1alpha1.PeerStatus{State: meshv1alpha1.PeerClosed}, secrets: secret, lasting: stuckAfter, wantReason: meshv1alpha1.ReasonPeerStuck},
		"so does one that is stale":       {peer: meshv1alpha1.PeerStatus{State: meshv1alpha1.PeerStale}, secrets: secret, lasting: stuckAfter, wantReason: meshv1alpha1.ReasonPeerStuck},
		"and one that istiod ignores":     {peer: meshv1alpha1.PeerStatus{State: meshv1alpha1.PeerMissing}, secrets: secret, lasting: stuckAfter, wantReason: meshv1alpha1.ReasonPeerStuck},
		"without a Secret it waits":       {peer: meshv1alpha1.PeerStatus{State: meshv1alpha1.PeerMissing}, lasting: time.Hour},
		"a restart cures no timeout":      {peer: meshv1alpha1.PeerStatus{State: meshv1alpha1.PeerTimedOut}, secrets: secret, lasting: time.Hour},
		"nor a peer that is down":         {peer: meshv1alpha1.PeerStatus{State: meshv1alpha1.PeerClosed}, secrets: secret, expected: down, lasting: time.Hour},
		"a peer's API server has moved":   {peer: meshv1alpha1.PeerStatus{State: meshv1alpha1.PeerSynced}, secrets: secret, changed: []string{"west"}, wantReason: meshv1alpha1.ReasonRemoteSecretChanged},
		"a restart is over":               {peer: meshv1alpha1.PeerStatus{State: meshv1alpha1.PeerSynced, Marker: "240.0.0.1"}, secrets: secret, order: ordered, pods: restarted, wantDone: true},
		"an old pod is still there":       {peer: meshv1alpha1.PeerStatus{State: meshv1alpha1.PeerSynced, Marker: "240.0.0.1"}, secrets: secret, order: ordered, pods: append([]corev1.Pod{{}}, restarted...)},
		"the new one does not sync":       {peer: meshv1alpha1.PeerStatus{State: meshv1alpha1.PeerSyncing}, secrets: secret, order: ordered, pods: restarted},
		"the new one lacks the marker":    {peer: meshv1alpha1.PeerStatus{State: meshv1alpha1.PeerSynced, Marker: "240.0.0.0"}, secrets: secret, order: ordered, pods: restarted},
		"a peer that is down is not it":   {peer: meshv1alpha1.PeerStatus{State: meshv1alpha1.PeerTimedOut}, secrets: secret, expected: down, order: ordered, pods: restarted, wantDone: true},
		"where no marker ever came it is": {peer: meshv1alpha1.PeerStatus{State: meshv1alpha1.PeerSynced}, secrets: secret, order: ordered, pods: restarted, wantDone: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.expected.serving == nil {
				c.expected = markersOf("240.0.0.1", time.Hour)
			}
			s, pass := &Steps{}, membertest.Pass(t, testutil.Member("east"))
			c.peer.Name = "west"
			remembered := s.memory.Of(pass)
			remembered.changed, remembered.stuckSince = c.changed, map[string]time.Time{"west": testutil.Now.Add(-c.lasting)}
			if c.peer.Marker == "240.0.0.1" {
				remembered.verified.markers = map[string]string{"west": "240.0.0.1"}
			}
			pass.Object.Spec.IstiodRestart, pass.Object.Status.Discovery.Peers = c.order, []meshv1alpha1.PeerStatus{c.peer}
			s.reportRestart(pass, c.pods, c.secrets, c.expected)
			reason := ""
			if need := pass.Object.Status.Discovery.RestartNeeded; need != nil {
				reason = need.Reason
			}
			if reason != c.wantReason {
				t.Errorf("reason is %q, want %q", reason, c.wantReason)
			}
			if done := c.order != nil && !mesh.IsRestarting(pass.Object); done != c.wantDone {
				t.Errorf("the restart is over: %v, want %v", done, c.wantDone)
			}
		})
	}
}

// TestARestartForAnotherPart wants discovery to report the restart that another part needs, and none to be over before that part says so.
func TestARestartForAnotherPart(t *testing.T) {
	s, pass := &Steps{}, membertest.Pass(t, testutil.Member("east"))
	pass.Object.Spec.IstiodRestart = &meshv1alpha1.IstiodRestart{OrderedAt: metav1.NewTime(testutil.Now.Add(-time.Minute)), Reason: meshv1alpha1.ReasonIntermediateNotInForce, Attempt: 1}
	pods := []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{mesh.RestartAnnotation: mesh.RestartedAt(pass.Object.Spec.IstiodRestart)}}}}
	pass.NeedRestart(meshv1alpha1.ReasonIntermediateNotInForce, "istiod signs with another one")
	s.reportRestart(pass, pods, nil, expectedPeers{})
	if need := pass.Object.Status.Discovery.RestartNeeded; need == nil || need.Reason != meshv1alpha1.ReasonIntermediateNotInForce || !mesh.IsRestarting(pass.Object) {
		t.Errorf("needed is %+v, the restart is over: %v", need, !mesh.IsRestarting(pass.Object))
	}
	next := membertest.Pass(t, pass.Object)
	s.reportRestart(next, pods, nil, expectedPeers{})
	if need := pass.Object.Status.Discovery.RestartNeeded; need != nil || mesh.IsRestarting(pass.Object) {
		t.Errorf("needed is %+v, the restart is over: %v", need, !mesh.IsRestarting(pass.Object))
	}
}
