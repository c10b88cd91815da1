package status

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/phase"
)

// SetUpgrade writes the conditions of a MeshUpgrade and its observed generation. Succeeded stays Unknown until the upgrade
// is over.
func SetUpgrade(st *meshv1alpha1.MeshUpgradeStatus, generation int64, result phase.Result, now time.Time) {
	w := writer{&st.Conditions, generation, now}
	succeeded := metav1.ConditionUnknown
	switch {
	case result.Kind == phase.Done:
		succeeded = metav1.ConditionTrue
	case st.Phase.IsFinished():
		succeeded = metav1.ConditionFalse
	}
	w.set(meshv1alpha1.ConditionSucceeded, succeeded, result.Reason, result.Text())
	w.sum(Outcome{Result: result})
	st.ObservedGeneration = generation
}

// Upgrade is how a MeshUpgrade stands. A reason says that it stands still until a person acts; the cure is what that can be.
func Upgrade(st *meshv1alpha1.MeshUpgradeStatus, reason, cure string) phase.Result {
	switch {
	case st.Phase == meshv1alpha1.UpgradeSucceeded:
		return phase.Complete(meshv1alpha1.ReasonUpgradeSucceeded, st.Message)
	case st.Phase.IsFinished():
		return ended(st)
	case reason != "":
		return phase.Result{Kind: phase.Stalled, Reason: reason, Message: withCure(moved(st)+st.Message, cure)}
	}
	switch st.Phase {
	case meshv1alpha1.UpgradeRollingBack:
		return phase.Result{Kind: phase.Retry, Reason: meshv1alpha1.ReasonRollingBack, Message: st.Message}
	case meshv1alpha1.UpgradeStopping:
		return phase.Result{Kind: phase.Retry, Reason: meshv1alpha1.ReasonUpgradeStopping, Message: st.Message}
	case meshv1alpha1.UpgradePlanning:
		return phase.Waiting(meshv1alpha1.ReasonUpgradePlanned, st.Message, 0)
	case meshv1alpha1.UpgradeWaitingForWindow:
		return phase.Waiting(meshv1alpha1.ReasonWaitingForWindow, moved(st)+st.Message, 0)
	}
	return phase.Waiting(meshv1alpha1.ReasonUpgrading, moved(st)+st.Message, 0)
}

// ended is how a MeshUpgrade stands that is over without success.
func ended(st *meshv1alpha1.MeshUpgradeStatus) phase.Result {
	again := "change the spec of the MeshInstallation, or try the same again by the annotation " +
		meshv1alpha1.AnnotationAction + ": " + string(meshv1alpha1.UpgradeActionRetry)
	reason, cure := meshv1alpha1.ReasonUpgradeFailed, again
	switch st.Cause {
	case meshv1alpha1.CauseRejected:
		reason = meshv1alpha1.ReasonUpgradeRejected
	case meshv1alpha1.CauseAborted:
		reason = meshv1alpha1.ReasonUpgradeAborted
		cure = "to start again, take the annotation " + meshv1alpha1.AnnotationAction + " away and write Run to spec.upgrade.state of the MeshInstallation"
	case meshv1alpha1.CauseSuperseded:
		reason, cure = meshv1alpha1.ReasonUpgradeSuperseded, "nothing is to be done here: the next MeshUpgrade starts from what each member runs"
	}
	return phase.Result{Kind: phase.Stalled, Reason: reason, Message: withCure(st.Message, cure)}
}

// withCure shortens a message that would leave no place for the cure.
func withCure(message, cure string) string {
	if cure == "" {
		return message
	}
	return mesh.Shorten(message, maxMessage-len(cure)-len("; ")) + "; " + cure
}

// moved counts the members on the target, for the front of a message. Empty: the upgrade has not begun.
func moved(st *meshv1alpha1.MeshUpgradeStatus) string {
	if st.StartedAt == nil {
		return ""
	}
	var n, total int32
	for i := range st.Waves {
		n, total = n+st.Waves[i].Moved, total+st.Waves[i].Total
	}
	return fmt.Sprintf("%d of %d members moved; ", n, total)
}
