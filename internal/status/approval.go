package status

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/phase"
)

// SetApproval writes the conditions of a MeshApproval, as they follow from its decision and its upgrade, and its observed
// generation.
func SetApproval(a *meshv1alpha1.MeshApproval, u *meshv1alpha1.MeshUpgrade, now time.Time) {
	w := writer{&a.Status.Conditions, a.Generation, now}
	result, used, accepted := approval(a, u, now), metav1.ConditionFalse, metav1.ConditionTrue
	reason, text := meshv1alpha1.ReasonAccepted, fmt.Sprintf("it belongs to wave %q of MeshUpgrade %s", a.Spec.Wave, u.Name)
	switch result.Reason {
	case meshv1alpha1.ReasonWaveApproved, meshv1alpha1.ReasonWaveRejected:
		used = metav1.ConditionTrue
	case meshv1alpha1.ReasonUpgradeMismatch, meshv1alpha1.ReasonApprovalExpired:
		accepted, reason, text = metav1.ConditionFalse, result.Reason, result.Text()
	}
	w.set(meshv1alpha1.ConditionAccepted, accepted, reason, text)
	w.set(meshv1alpha1.ConditionUsed, used, result.Reason, result.Text())
	w.sum(Outcome{Result: result})
	a.Status.ObservedGeneration = a.Generation
}

// approval is how a MeshApproval stands.
func approval(a *meshv1alpha1.MeshApproval, u *meshv1alpha1.MeshUpgrade, now time.Time) phase.Result {
	if problem := mismatch(a, u); problem != "" {
		return phase.Result{Kind: phase.Stalled, Reason: meshv1alpha1.ReasonUpgradeMismatch, Message: problem + "; it has no effect, delete it"}
	}
	wave := meshv1alpha1.WaveStatus{Name: a.Spec.Wave}
	if i := slices.IndexFunc(u.Status.Waves, func(w meshv1alpha1.WaveStatus) bool { return w.Name == a.Spec.Wave }); i >= 0 {
		wave = u.Status.Waves[i]
	}
	isPending := a.Spec.Decision == meshv1alpha1.DecisionPending
	// A wave that is approved may still wait for its window. Until it starts, the approval can expire.
	isUsed := wave.ApprovedAt != nil && (a.Spec.Expires == nil || wave.StartedAt != nil)
	switch {
	case mesh.IsExpired(a, &u.Status, now):
		return phase.Complete(meshv1alpha1.ReasonApprovalExpired, fmt.Sprintf("expired at %s, before wave %q started",
			a.Spec.Expires.UTC().Format(time.RFC3339), wave.Name))
	case a.Spec.Decision == meshv1alpha1.DecisionApproved && isUsed:
		return phase.Complete(meshv1alpha1.ReasonWaveApproved, fmt.Sprintf("wave %q was approved, and MeshUpgrade %s goes on with it", wave.Name, u.Name))
	case a.Spec.Decision == meshv1alpha1.DecisionRejected && u.Status.Cause == meshv1alpha1.CauseRejected:
		return phase.Complete(meshv1alpha1.ReasonWaveRejected, fmt.Sprintf("wave %q was rejected, which ends MeshUpgrade %s", wave.Name, u.Name))
	case u.Status.Phase.IsFinished() || u.Status.Cause != "":
		return phase.Complete(meshv1alpha1.ReasonNotNeeded, fmt.Sprintf("no decision about wave %q is needed: MeshUpgrade %s is %s", wave.Name, u.Name, u.Status.Phase))
	case isPending && wave.StartedAt != nil:
		return phase.Complete(meshv1alpha1.ReasonNotNeeded, fmt.Sprintf("no decision about wave %q is needed: MeshUpgrade %s has no member of it to start", wave.Name, u.Name))
	case isPending:
		return phase.Result{Kind: phase.Stalled, Reason: meshv1alpha1.ReasonWaitingForDecision, Message: fmt.Sprintf(
			"wave %q of MeshUpgrade %s waits with %d members; set spec.decision to Approved or Rejected", wave.Name, u.Name, wave.Total)}
	}
	return phase.Waiting(meshv1alpha1.ReasonWaitingForUpgrade, fmt.Sprintf(
		"the decision about wave %q is %s; MeshUpgrade %s, which is %s, has not acted on it yet", wave.Name, a.Spec.Decision, u.Name, u.Status.Phase), 0)
}

// mismatch is why a MeshApproval does not belong to the upgrade that it names. Empty: it does.
func mismatch(a *meshv1alpha1.MeshApproval, u *meshv1alpha1.MeshUpgrade) string {
	switch {
	case a.Spec.UpgradeRef.UID != u.UID:
		return fmt.Sprintf("the UID of MeshUpgrade %s is %s, spec.upgradeRef.uid is %s", u.Name, u.UID, a.Spec.UpgradeRef.UID)
	case !slices.ContainsFunc(u.Spec.Waves, func(w meshv1alpha1.PlannedWave) bool { return w.Name == a.Spec.Wave }):
		return fmt.Sprintf("MeshUpgrade %s has no wave %q", u.Name, a.Spec.Wave)
	}
	return ""
}
