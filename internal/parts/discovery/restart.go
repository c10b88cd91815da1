package discovery

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan"
)

// stuckAfter is how long istiod may read a peer no more before it needs a restart.
const stuckAfter = 45 * time.Second

// reportRestart reports whether istiod needs a restart, and whether the one that was ordered is over.
func (s *Steps) reportRestart(pass *member.Pass, pods []corev1.Pod, secrets []metav1.PartialObjectMetadata, expected expectedPeers) {
	d := &pass.Object.Status.Discovery
	memory := s.memory.Of(pass)
	stuck := memory.stuckPeers(pass, secrets, expected)
	d.RestartNeeded = pass.RestartNeeded()
	switch {
	case len(memory.changed) > 0:
		d.RestartNeeded = &meshv1alpha1.RestartNeed{Reason: meshv1alpha1.ReasonRemoteSecretChanged,
			Message: "the API server or the CA of " + mesh.List(memory.changed, len(memory.changed)) + " has changed"}
	case len(stuck) > 0:
		d.RestartNeeded = &meshv1alpha1.RestartNeed{Reason: meshv1alpha1.ReasonPeerStuck,
			Message: "istiod receives nothing new from " + mesh.List(stuck, len(stuck))}
	}
	if mesh.IsRestarting(pass.Object) && d.RestartNeeded == nil && haveRestarted(pods, pass.Object.Spec.IstiodRestart) && !memory.verified.awaits(d.Peers, expected) {
		d.RestartedAt = pass.Object.Spec.IstiodRestart.OrderedAt.DeepCopy()
	}
}

// restarting is the result of discovery while a restart of istiod is not over, else the result given.
func restarting(pass *member.Pass, result phase.Result) phase.Result {
	if !mesh.IsRestarting(pass.Object) {
		return result
	}
	order := pass.Object.Spec.IstiodRestart
	return phase.Waiting(meshv1alpha1.ReasonRestartingIstiod, "istiod is being restarted ("+order.Reason+"): "+result.Text(), outcome.ShortWait).
		Overdue(order.OrderedAt.Time, pass.Now, plan.RestartDeadline, meshv1alpha1.ReasonDeadlineExceeded)
}

// stuckPeers are the peers that istiod does not read although they serve, are reachable, and have a remote secret.
func (m *memory) stuckPeers(pass *member.Pass, secrets []metav1.PartialObjectMetadata, expected expectedPeers) []string {
	if m.stuckSince == nil {
		m.stuckSince = map[string]time.Time{}
	}
	var stuck []string
	for _, p := range pass.Object.Status.Discovery.Peers {
		hasSecret := slices.ContainsFunc(secrets, func(o metav1.PartialObjectMetadata) bool { return o.Name == RemoteSecretName(p.Name) })
		isStuck := p.State == meshv1alpha1.PeerClosed || p.State == meshv1alpha1.PeerMissing || p.State == meshv1alpha1.PeerStale
		if !isStuck || !hasSecret || !expected.serving[p.Name] || !expected.reachable[p.Name] {
			delete(m.stuckSince, p.Name)
			continue
		}
		if m.stuckSince[p.Name].IsZero() {
			m.stuckSince[p.Name] = pass.Now
		}
		if pass.Now.Sub(m.stuckSince[p.Name]) >= stuckAfter {
			stuck = append(stuck, p.Name+" ("+string(p.State)+")")
		}
	}
	return stuck
}

// awaits is true while istiod has not synced a peer that serves and is reachable, or a marker that arrived before has not
// arrived since.
func (v *verification) awaits(peers []meshv1alpha1.PeerStatus, expected expectedPeers) bool {
	return slices.ContainsFunc(peers, func(p meshv1alpha1.PeerStatus) bool {
		if !expected.serving[p.Name] || !expected.reachable[p.Name] {
			return false
		}
		marker, isMarked := expected.markers[p.Name]
		return p.State != meshv1alpha1.PeerSynced || isMarked && p.Marker != "" && v.markers[p.Name] != marker.Address
	})
}

// haveRestarted is true when every pod is of the order.
func haveRestarted(pods []corev1.Pod, order *meshv1alpha1.IstiodRestart) bool {
	return !slices.ContainsFunc(pods, func(p corev1.Pod) bool {
		return p.Annotations[mesh.RestartAnnotation] != mesh.RestartedAt(order)
	})
}
