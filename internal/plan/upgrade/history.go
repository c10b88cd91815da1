package upgrade

import (
	"fmt"
	"slices"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// lastRun is the newest record of the same target, by which that is remembered: a tool that applies the same spec again
// must not start the same failure again. Nil: none.
func lastRun(inst *meshv1alpha1.MeshInstallation, history []meshv1alpha1.MeshUpgrade, to meshv1alpha1.RevisionTarget) *meshv1alpha1.MeshUpgrade {
	for i := range slices.Backward(history) {
		if isSameTarget(&history[i], to, inst) {
			return &history[i]
		}
	}
	return nil
}

// abortedBy says what keeps a target from starting that nothing else does, and the cure. Empty: nothing.
func abortedBy(inst *meshv1alpha1.MeshInstallation, past *meshv1alpha1.MeshUpgrade) string {
	bySpec := inst.Spec.Upgrade.State == meshv1alpha1.UpgradeStateAbort
	// Who came too late to stop it did not stop it.
	byAnnotation := past != nil && past.Status.Phase != meshv1alpha1.UpgradeSucceeded && ActionOf(past) == meshv1alpha1.UpgradeActionAbort
	annotation := ""
	if byAnnotation {
		annotation = fmt.Sprintf("the annotation %s of MeshUpgrade %s", meshv1alpha1.AnnotationAction, past.Name)
	}
	switch {
	case bySpec && byAnnotation:
		return "spec.upgrade.state is Abort, and so is " + annotation + "; write Run there and take the annotation away to start"
	case bySpec:
		return "spec.upgrade.state is Abort; write Run to start"
	case byAnnotation:
		return annotation + " is Abort; take it away or write Retry to start"
	}
	return ""
}

// RetryOf says which upgrade one to what the installation asks for tries again, because a person asked for that: the
// newest one to the same content, if it did not come to its end. Nil: none. Who takes an Abort back asks for nothing more
// than before.
func RetryOf(inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember, history []meshv1alpha1.MeshUpgrade) *meshv1alpha1.UpgradeRetry {
	for i := range slices.Backward(history) {
		u := &history[i]
		then := inst.DeepCopy()
		then.Spec.Upgrade.Attempt = u.Spec.To.Attempt
		to, _, err := Target(then, members)
		if err != nil || !isSameTarget(u, to, inst) {
			continue
		}
		switch {
		case !hasFailed(u) && u.Status.Cause != meshv1alpha1.CauseAborted:
		case u.Spec.To.Attempt != inst.Spec.Upgrade.Attempt:
			return &meshv1alpha1.UpgradeRetry{Of: u.Name, By: meshv1alpha1.ByAttempt}
		case ActionOf(u) == meshv1alpha1.UpgradeActionRetry:
			return &meshv1alpha1.UpgradeRetry{Of: u.Name, By: meshv1alpha1.ByAnnotation}
		}
		return nil
	}
	return nil
}

// hasFailed says whether a run failed by itself or was rejected. What a person aborted, or a change of the spec ended,
// has not failed.
func hasFailed(u *meshv1alpha1.MeshUpgrade) bool {
	switch u.Status.Cause {
	case meshv1alpha1.CauseAborted, meshv1alpha1.CauseSuperseded:
		return false
	}
	// One that went on without some members has failed for those.
	return u.Status.Phase != meshv1alpha1.UpgradeSucceeded || len(u.Status.Failed) > 0
}

// hasFailedFor says whether a run failed for a member that is not held: what failed in members that are held keeps no other from the target.
func hasFailedFor(u *meshv1alpha1.MeshUpgrade, holds Holds) bool {
	if u.Status.Phase == meshv1alpha1.UpgradeSucceeded && !slices.ContainsFunc(u.Status.Failed, func(name string) bool { return !holds.Has(name) }) {
		return false
	}
	return hasFailed(u)
}

// historyAt is the history as it was for a plan that was made because a person asked for another try. That was heard: nothing
// depends on its being said any longer.
func historyAt(planned *meshv1alpha1.MeshUpgrade, history []meshv1alpha1.MeshUpgrade) []meshv1alpha1.MeshUpgrade {
	retry := planned.Spec.Retry
	if retry == nil || retry.By != meshv1alpha1.ByAnnotation {
		return history
	}
	before := slices.Clone(history)
	for i := range before {
		if before[i].Name == retry.Of {
			before[i].Annotations = map[string]string{meshv1alpha1.AnnotationAction: string(meshv1alpha1.UpgradeActionRetry)}
		}
	}
	return before
}
