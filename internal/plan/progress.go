package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// progress is how far one member is in an upgrade, as its MeshMember shows it.
type progress struct {
	name string
	wave *meshv1alpha1.PlannedWave
	// ordered is the stage that this upgrade has ordered. Empty: the member is not touched.
	ordered meshv1alpha1.Stage
	// orderedAt is since when.
	orderedAt time.Time
	// report is what the member says of that very stage. Nil: nothing yet.
	report *meshv1alpha1.MemberRolloutStatus
	// spoke is when the member last reported that a stage began or was done.
	spoke time.Time
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
		p.ordered, p.orderedAt = o.Stage, o.OrderedAt.Time
		if s := m.Status.Rollout; s != nil && s.Upgrade == upgrade.Name && s.Stage == o.Stage {
			p.report, p.spoke = s, s.Since.Time
			if s.DoneAt != nil {
				p.spoke = later(p.spoke, s.DoneAt.Time)
			}
		}
		return p
	}
	p.isThere = len(m.Spec.Revisions) == 1 && m.Spec.Revisions[0].Name == upgrade.Spec.To.Revision
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
	return p.ordered == meshv1alpha1.StageRollBack || p.ordered == meshv1alpha1.StageDiscard
}

// isMoved says whether the member's workloads run on the target: Soak is ordered only then.
func (p *progress) isMoved() bool {
	return p.isThere || p.ordered == meshv1alpha1.StageSoak || p.ordered == meshv1alpha1.StageRetire
}

// isRetired says whether only the target is left.
func (p *progress) isRetired() bool {
	return p.isThere || p.ordered == meshv1alpha1.StageRetire && p.reports(meshv1alpha1.StageDone)
}

// isBack says whether nothing of the target is left.
func (p *progress) isBack() bool {
	return !p.hasBegun() || p.ordered == meshv1alpha1.StageDiscard && p.reports(meshv1alpha1.StageDone)
}

// isChanging says whether the member counts against the wave's budget. One that goes back and cannot be reached does
// not: nothing changes there, and it must not hold up the others.
func (p *progress) isChanging() bool {
	switch p.ordered {
	case meshv1alpha1.StageInstall, meshv1alpha1.StageGateways, meshv1alpha1.StageWorkloads:
		return true
	case meshv1alpha1.StageRollBack:
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
	if p.ordered == meshv1alpha1.StageDiscard || p.ordered == meshv1alpha1.StageRollBack && p.reports(meshv1alpha1.StageDone) {
		return meshv1alpha1.StageDiscard
	}
	return meshv1alpha1.StageRollBack
}

// says tells why a stage stands as it does: by the gates with these verdicts, else in the member's own words.
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
	return ": " + strings.Join(said, ", ")
}

// failure tells why the member has failed, empty if it has not, and when time alone would make it fail. It should have
// done something since it was due. Retiring has no deadline: the old revision stays while somebody uses it, however
// long, and the mesh runs well on the new one.
func (p *progress) failure(now, due time.Time) (why string, at time.Time) {
	deadline := p.wave.ProgressDeadline.Duration
	isOverdue := func(since time.Time) bool {
		end := since.Add(deadline)
		if at.IsZero() || end.Before(at) {
			at = end
		}
		return !now.Before(end)
	}
	switch {
	case p.isGoingBack():
		// Its failure was not recorded before the order was written.
		return fmt.Sprintf("member %q goes back", p.name), at
	case p.reports(meshv1alpha1.StageFailed):
		return fmt.Sprintf("member %q failed in stage %s", p.name, p.ordered) + p.says(meshv1alpha1.VerdictFail), at
	case p.ordered == meshv1alpha1.StageRetire || p.isThere:
		return "", at
	case p.hasBegun() && p.reports(meshv1alpha1.StageProgressing) && isOverdue(p.progressing()):
		return fmt.Sprintf("member %q was not done with stage %s within %s", p.name, p.ordered, deadline) +
			p.says(meshv1alpha1.VerdictError, meshv1alpha1.VerdictInconclusive, meshv1alpha1.VerdictPending), at
	case p.hasBegun() && p.isReachable && p.report == nil && isOverdue(due):
		return fmt.Sprintf("member %q has not said anything of stage %s for %s", p.name, p.ordered, deadline), at
	case !p.isReachable && isOverdue(p.unreachable(due)):
		when := "before its turn"
		if p.hasBegun() {
			when = "in stage " + string(p.ordered)
		}
		return fmt.Sprintf("member %q could not be reached for %s %s", p.name, deadline, when), at
	}
	return "", at
}

// progressing is since when the member has worked on its stage. A gate that came to pass is progress: one that could
// not tell for a long time must not become a failure by the mere end of that.
func (p *progress) progressing() time.Time {
	since := p.report.Since.Time
	for _, g := range p.report.Gates {
		if !g.DryRun && g.Verdict == meshv1alpha1.VerdictPass && g.Since.After(since) {
			since = g.Since.Time
		}
	}
	if p.ordered == meshv1alpha1.StageSoak {
		since = since.Add(p.wave.Soak.Duration)
	}
	return since
}

// unreachable is since when the member should have answered, but did not.
func (p *progress) unreachable(due time.Time) time.Time {
	return later(p.changed, due)
}
