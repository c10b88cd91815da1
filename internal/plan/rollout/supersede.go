package rollout

import (
	"slices"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// isSuperseded says whether the spec asks for another target than the upgrade's, which is not where it came from, or this
// was decided before.
func (v *view) isSuperseded() bool {
	return v.IsSuperseded || v.status.Cause == meshv1alpha1.CauseSuperseded
}

// supersede ends the upgrade where it is, so that the next target starts from what each member runs: those that have moved
// stay, those that are half way go back, and nobody begins. A pause does not hold it, as it holds no way back.
func (r *rollout) supersede() {
	s := &r.out.Status
	r.stopFor(meshv1alpha1.CauseSuperseded, "the spec of the MeshInstallation asks for something else")
	s.Phase = meshv1alpha1.UpgradeStopping
	r.awaitDeadlines()
	var returning, moved, behind []string
	isEnding := false
	for _, p := range r.members {
		if p.ordered == meshv1alpha1.StageWorkloads && p.next() != p.ordered {
			// One that is done with its workloads has moved.
			r.order(p, p.next())
			isEnding = true
		}
		switch {
		case p.isUntouched() || p.isFailed && p.isBack():
			behind = append(behind, p.name)
		case p.isMoved() && !p.isOut() && !p.reports(meshv1alpha1.StageFailed):
			moved = append(moved, p.name)
		case p.isBack():
			behind = append(behind, p.name)
		default:
			// The work order of one that cannot be reached leads back, and the next upgrade takes along what was moved there.
			isLeft := p.unknown != "" && p.stored == meshv1alpha1.StageRollback
			switch r.order(p, p.back()); {
			case isLeft:
				behind = append(behind, p.name)
			case p.isEnding():
				isEnding = true
			default:
				returning = append(returning, p.name)
			}
		}
	}
	if isEnding || len(returning) > 0 {
		s.Message = s.CauseDetail + mesh.Labelled("rolling back", returning)
		return
	}
	r.out.After = 0
	slices.Sort(moved)
	r.stopped(moved, behind)
}
