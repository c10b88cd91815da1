package rollout

import (
	"slices"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
)

func (v *view) scope() meshv1alpha1.RollbackScope {
	return upgrade.Scope(v.Upgrade.Spec.RollbackScope)
}

// isStopping says whether the upgrade ends where it is. It has a cause from then on.
func (v *view) isStopping() bool {
	return v.scope() != meshv1alpha1.RollbackScopeUpgrade && v.status.Cause != ""
}

// stopFor makes the upgrade end where it is, if there is a reason. The first one counts.
func (r *rollout) stopFor(cause meshv1alpha1.UpgradeCause, why string) {
	if s := &r.out.Status; why != "" && s.Cause == "" {
		s.Cause, s.CauseDetail = cause, why
		noteEnd(r, cause)
	}
}

// markLost finds the members that go back with their wave: it has failed, and that is the scope.
func (r *rollout) markLost() {
	if r.scope() != meshv1alpha1.RollbackScopeWave {
		return
	}
	for i := range r.Upgrade.Spec.Waves {
		w := &r.Upgrade.Spec.Waves[i]
		failed := 0
		for _, name := range w.Members {
			// One that failed and has left counts still.
			if slices.Contains(r.out.Status.Failed, name) {
				failed++
			}
		}
		if failed <= int(w.MaxFailures) {
			continue
		}
		for _, p := range r.of[w.Name] {
			p.isLost = p.isLost || p.hasBegun() && !p.isFailed
		}
	}
}

// stop lets the members that have begun finish, while those that are out go back, until nobody changes any more.
func (r *rollout) stop() {
	s := &r.out.Status
	s.Phase = meshv1alpha1.UpgradeStopping
	for i := range r.Upgrade.Spec.Waves {
		w := &r.Upgrade.Spec.Waves[i]
		r.carryOn(w)
		if r.soak(w) == "" {
			for _, p := range r.of[w.Name] {
				r.retire(p)
			}
		}
	}
	var finishing, returning, moved, behind []string
	isEnding := false
	for _, p := range r.members {
		switch {
		case p.isEnding():
			isEnding = true
		case p.isOut() && !p.isBack():
			returning = append(returning, p.name)
		case p.isOut() || p.isUntouched():
			behind = append(behind, p.name)
		case !p.isThrough():
			finishing = append(finishing, p.name)
		default:
			moved = append(moved, p.name)
		}
	}
	if isEnding || len(finishing)+len(returning) > 0 {
		s.Message = s.CauseDetail + mesh.Labelled("finishing", finishing) + mesh.Labelled("rolling back", returning) + mesh.Labelled("no report from", r.unknownMembers())
		return
	}
	r.stopped(moved, behind)
}

// stopped ends an upgrade whose members do not all go the same way.
func (r *rollout) stopped(moved, behind []string) {
	s := &r.out.Status
	s.FinishedAt = r.stamp()
	if len(moved) == 0 {
		s.Phase, s.Message = meshv1alpha1.UpgradeRolledBack, s.CauseDetail
		return
	}
	s.Phase = meshv1alpha1.UpgradeStopped
	s.Message = s.CauseDetail + "; stopped" + mesh.Labelled("on "+r.Upgrade.Spec.To.Revision, moved) + mesh.Labelled("on the former revision", behind)
}
