package rollout

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// progress is how far one member is in an upgrade, as its MeshMember shows it.
type progress struct {
	name string
	wave *meshv1alpha1.PlannedWave
	// ordered is the stage that this upgrade has ordered. Empty: the member is not touched.
	ordered meshv1alpha1.Stage
	// stored is the stage that was ordered before this decision.
	stored meshv1alpha1.Stage
	// orderedAt is since when.
	orderedAt time.Time
	// report is what the member says of that very stage. Nil: nothing yet.
	report *meshv1alpha1.MemberRolloutStatus
	// isThere says that the member runs the target alone without an order of this upgrade.
	isThere bool
	// isFailed says that the member is recorded as failed.
	isFailed bool
	// isLost says that the member goes back because its wave has failed.
	isLost bool
	// due is when time alone makes the member fail. Zero: never.
	due time.Time
	// isReachable says whether the member answers, and changed since when that is so.
	isReachable bool
	changed     time.Time
	// unknown says why nothing is known of the member. Empty: something is.
	unknown string
}

func observeProgress(m *meshv1alpha1.MeshMember, upgrade *meshv1alpha1.MeshUpgrade, wave *meshv1alpha1.PlannedWave) *progress {
	p := &progress{
		name: m.Spec.Cluster, wave: wave,
		isFailed: slices.Contains(upgrade.Status.Failed, m.Spec.Cluster),
	}
	if c := meta.FindStatusCondition(m.Status.Conditions, meshv1alpha1.ConditionReachable); c != nil {
		p.isReachable, p.changed = c.Status == "True", c.LastTransitionTime.Time
	}
	if o := m.Spec.Rollout; o != nil && o.Upgrade == upgrade.Name {
		p.ordered, p.stored, p.orderedAt = o.Stage, o.Stage, o.OrderedAt.Time
		if s := m.Status.Rollout; s != nil && s.Upgrade == upgrade.Name && s.Stage == o.Stage {
			p.report = s
		}
		return p
	}
	p.isThere = len(m.Spec.Revisions) == 1 && mesh.IsTarget(&upgrade.Spec.To, m.Spec.Cluster, m.Spec.Revisions[0])
	return p
}

// reports says whether the member reports this state of the stage that is ordered.
func (p *progress) reports(state meshv1alpha1.StageState) bool {
	return p.report != nil && p.report.State == state
}

// hasBegun says whether anything has been ordered that changes the member. A preflight only looks.
func (p *progress) hasBegun() bool {
	return p.ordered != "" && p.ordered != meshv1alpha1.StagePreflight
}

// isUntouched says whether nothing has been changed, and something is to be.
func (p *progress) isUntouched() bool { return !p.hasBegun() && !p.isThere && !p.isFailed }

// isOut says whether the member has no part in the upgrade any more.
func (p *progress) isOut() bool { return p.isFailed || p.isLost }

// isGoingBack says whether the member is back, or on its way.
func (p *progress) isGoingBack() bool {
	return p.ordered == meshv1alpha1.StageRollback || p.ordered == meshv1alpha1.StageDiscard
}

// isMoved says whether the member's workloads run on the target: Soak is ordered only then.
func (p *progress) isMoved() bool {
	return p.isThere || p.ordered == meshv1alpha1.StageSoak || p.ordered == meshv1alpha1.StageRetire
}

// isThrough says whether the member needs nothing more of the upgrade: its work order was told to name the target alone.
// The former revision goes when nothing uses it any more, which holds nothing but its own member.
func (p *progress) isThrough() bool {
	return p.isThere || p.stored == meshv1alpha1.StageRetire && p.ordered == meshv1alpha1.StageRetire
}

// isRetired says whether only the target is left.
func (p *progress) isRetired() bool {
	return p.isThere || p.ordered == meshv1alpha1.StageRetire && p.reports(meshv1alpha1.StageDone)
}

// isBack says whether the member needs nothing more to be back: its work order was told to name the former revision alone.
// The target goes when nothing uses it any more.
func (p *progress) isBack() bool {
	return !p.hasBegun() || p.stored == meshv1alpha1.StageDiscard && p.ordered == meshv1alpha1.StageDiscard
}

// isEnding says whether the member's last order is being written: nothing follows it, and another pass finds it stored.
func (p *progress) isEnding() bool {
	isLast := p.ordered == meshv1alpha1.StageRetire || p.ordered == meshv1alpha1.StageDiscard
	return isLast && p.stored != p.ordered
}

// isChanging says whether the member counts against the wave's budget. One of which nothing is known does not, nor one
// that goes back and cannot be reached: they must not hold up the others.
func (p *progress) isChanging() bool {
	if p.unknown != "" {
		return false
	}
	switch p.ordered {
	case meshv1alpha1.StageInstall, meshv1alpha1.StageGateways, meshv1alpha1.StageWorkloads:
		return true
	case meshv1alpha1.StageRollback:
		return p.isReachable && !p.reports(meshv1alpha1.StageDone)
	}
	return false
}

// next is the stage to order now: one step at most, and only from a stage that is done. Install is not among them, it
// needs a place in the wave's budget; nor is Retire, it waits for the whole wave.
func (p *progress) next() meshv1alpha1.Stage {
	if !p.reports(meshv1alpha1.StageDone) {
		return p.ordered
	}
	switch p.ordered {
	case meshv1alpha1.StageInstall:
		return meshv1alpha1.StageGateways
	case meshv1alpha1.StageGateways:
		return meshv1alpha1.StageWorkloads
	case meshv1alpha1.StageWorkloads:
		return meshv1alpha1.StageSoak
	}
	return p.ordered
}

// back is the stage to order a member that shall go back.
func (p *progress) back() meshv1alpha1.Stage {
	if p.ordered == meshv1alpha1.StageDiscard || p.ordered == meshv1alpha1.StageRollback && p.reports(meshv1alpha1.StageDone) {
		return meshv1alpha1.StageDiscard
	}
	return meshv1alpha1.StageRollback
}

// saysBytes bounds what is quoted of one member.
const saysBytes = 600

// says tells why a stage stands as it does: by the gates with these verdicts, each of which is named, else in the member's own words.
func (p *progress) says(verdicts ...meshv1alpha1.Verdict) string {
	var said []string
	for _, g := range p.report.Gates {
		if g.DryRun || !slices.Contains(verdicts, g.Verdict) {
			continue
		}
		text := "gate " + g.Name
		if g.Message != "" {
			text += " (" + g.Message + ")"
		}
		said = append(said, text)
	}
	if len(said) == 0 && p.report.Message != "" {
		said = append(said, p.report.Message)
	}
	if len(said) == 0 {
		return ""
	}
	slices.Sort(said)
	return ": " + mesh.Fit(said, saysBytes, ", ")
}

// failure tells why the member has failed, empty if it has not, and when time alone would make it fail. Only what a member
// reports is a failure, never its silence. Retiring has none: the mesh runs well on the new revision, and the old one stays
// while anything uses it.
func (p *progress) failure(now, watched time.Time, isWatched bool) (why string, at time.Time) {
	switch {
	case p.isGoingBack():
		// Its failure was not recorded before the order was written.
		return fmt.Sprintf("member %q is rolled back", p.name), at
	case p.ordered == meshv1alpha1.StageRetire || p.isThere:
		return "", at
	case p.reports(meshv1alpha1.StageFailed):
		return fmt.Sprintf("member %q failed in stage %s", p.name, p.ordered) + p.says(meshv1alpha1.VerdictFail), at
	case isWatched && p.hasBegun() && p.isReachable && p.reports(meshv1alpha1.StageProgressing):
		deadline := p.wave.ProgressDeadline.Duration
		if at = p.progressing(watched).Add(deadline); now.Before(at) {
			return "", at
		}
		return fmt.Sprintf("member %q made no progress in stage %s for %s", p.name, p.ordered, deadline) +
			p.says(meshv1alpha1.VerdictError, meshv1alpha1.VerdictInconclusive, meshv1alpha1.VerdictPending), at
	}
	return "", at
}

// progressing is since when the member has made no progress in its stage. A gate that came to pass is progress: one that
// could not tell for a long time must not become a failure by the mere end of that. A member that could not be reached
// has the time anew when it can, and all members have when they are watched again.
func (p *progress) progressing(watched time.Time) time.Time {
	since := later(later(p.report.Since.Time, p.changed), watched)
	if at := p.report.Progress.At; at != nil {
		since = later(since, at.Time)
	}
	for _, g := range p.report.Gates {
		if !g.DryRun && g.Verdict == meshv1alpha1.VerdictPass {
			since = later(since, g.Since.Time)
		}
	}
	if p.ordered == meshv1alpha1.StageSoak {
		since = since.Add(p.wave.Soak.Duration)
	}
	return since
}
