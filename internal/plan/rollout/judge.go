package rollout

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// run judges the members, and goes on where nothing speaks against it.
func (r *rollout) run() {
	failures, why := r.judge()
	if why != "" && r.Upgrade.Spec.OnFailure == meshv1alpha1.FailureActionPause {
		// Not recorded: who is there may yet come to say that the member is well, or abort.
		r.returnOut()
		r.awaitDeadlines()
		r.hold(meshv1alpha1.ReasonMembersFailed, why, "the upgrade goes on when they are well; repair them, or abort the upgrade")
		return
	}
	for _, p := range failures {
		p.isFailed = true
		r.out.Status.Failed = append(r.out.Status.Failed, p.name)
	}
	slices.Sort(r.out.Status.Failed)
	if why != "" && r.scope() == meshv1alpha1.RollbackScopeUpgrade {
		r.goBack(meshv1alpha1.CauseFailed, why)
		return
	}
	r.stopFor(meshv1alpha1.CauseFailed, why)
	r.stopFor(meshv1alpha1.CauseRejected, r.rejected())
	r.markLost()
	r.returnOut()
	defer r.awaitDeadlines()
	var unclear []string
	for _, p := range r.members {
		if p.canPause() && p.reports(meshv1alpha1.StageInconclusive) {
			unclear = append(unclear, fmt.Sprintf("member %q in stage %s", p.name, p.ordered)+
				p.says(meshv1alpha1.VerdictInconclusive, meshv1alpha1.VerdictError))
		}
	}
	if len(unclear) > 0 {
		r.hold(meshv1alpha1.ReasonGatesInconclusive, "inconclusive: "+mesh.Sentences(unclear, mesh.NamesShown),
			"the upgrade goes on when the gates can tell; look at the members, or abort the upgrade")
		return
	}
	if r.isStopping() {
		r.stop()
		return
	}
	if why := r.tooManyUnknown(); why != "" {
		// Who has begun goes on, nobody begins.
		r.carryAllOn()
		r.hold(meshv1alpha1.ReasonMembersNotReporting, why, "")
		return
	}
	if reason, why := r.stoppedByHolds(); why != "" {
		r.carryAllOn()
		r.hold(reason, why, "or abort the upgrade")
		return
	}
	r.advance()
}

// canPause says whether a member that cannot tell how it is holds the upgrade. What keeps a revision from being removed
// holds its own member only, and what was reported before the member fell silent holds nothing.
func (p *progress) canPause() bool {
	return p.hasBegun() && !p.isOut() && p.unknown == "" && p.ordered != meshv1alpha1.StageRetire
}

// judge finds the members that have failed and are not recorded yet. Too many of a wave are a reason to go back.
func (r *rollout) judge() (failures []*progress, tooMany string) {
	var reasons []string
	watched, isWatched := r.watched()
	for i := range r.Upgrade.Spec.Waves {
		w := &r.Upgrade.Spec.Waves[i]
		var why, before []string
		for _, p := range r.of[w.Name] {
			if p.isFailed {
				before = append(before, p.name)
				continue
			}
			if p.isLost {
				continue
			}
			reason, at := p.failure(r.Now, watched, isWatched)
			if reason == "" {
				p.due = at
				continue
			}
			failures = append(failures, p)
			why = append(why, reason)
		}
		if len(why)+len(before) > int(w.MaxFailures) && len(why) > 0 {
			reason := fmt.Sprintf("wave %q: %s", w.Name, mesh.Sentences(why, mesh.NamesShown))
			if len(before) > 0 {
				reason += "; failed before: " + mesh.List(before, len(before))
			}
			reasons = append(reasons, reason)
		}
	}
	return failures, mesh.Sentences(reasons, mesh.NamesShown)
}

// watched says from when on it counts that a member makes no progress, and whether it does: not while the upgrade waits for a
// member that cannot be reached, because the others may wait for it as well, and not for what the operator has not seen.
func (v *view) watched() (since time.Time, isWatched bool) {
	since = v.WatchedSince
	if v.UnreachablePeers == meshv1alpha1.UnreachablePeersIgnore {
		return since, true
	}
	for i := range v.Members {
		if c := meta.FindStatusCondition(v.Members[i].Status.Conditions, meshv1alpha1.ConditionReachable); c != nil && c.Status == metav1.ConditionTrue {
			since = later(since, c.LastTransitionTime.Time)
		}
	}
	return since, len(v.unreachable()) == 0
}

// returnOut takes the members back that are out while others go on.
func (r *rollout) returnOut() {
	for _, p := range r.members {
		if p.isOut() && !p.isBack() {
			r.order(p, p.back())
		}
	}
}
