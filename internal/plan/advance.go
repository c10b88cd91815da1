package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// advance goes through the waves in order and stops at the first that has not soaked.
func (r *rollout) advance() {
	s := &r.out.Status
	s.Phase = meshv1alpha1.UpgradeRunning
	r.survey()
	for i := range r.Upgrade.Spec.Waves {
		w := &r.Upgrade.Spec.Waves[i]
		s.Wave = w.Name
		if !r.isApproved(w) {
			s.Phase, s.Message = meshv1alpha1.UpgradeWaitingForApproval, fmt.Sprintf("wave %q waits for approval", w.Name)
			r.out.Approvals = []string{w.Name}
			return
		}
		r.move(w)
		if waits := r.soak(w); waits != "" {
			s.Message = fmt.Sprintf("wave %q: %s", w.Name, waits)
			r.explain(w)
			return
		}
		for _, p := range r.of[w.Name] {
			r.retire(p)
		}
	}
	var retiring, returning []string
	for _, p := range r.members {
		switch {
		case p.isFailed && !p.isBack():
			returning = append(returning, p.name)
		case !p.isFailed && !p.isRetired():
			retiring = append(retiring, p.name)
		}
	}
	if len(retiring)+len(returning) == 0 {
		s.Phase, s.FinishedAt = meshv1alpha1.UpgradeSucceeded, r.stamp()
		s.Message = "every member runs " + r.Upgrade.Spec.To.Revision
		if len(s.Failed) > 0 {
			s.Message += ", but for those that failed: " + capped(s.Failed)
		}
		return
	}
	s.Message = says("retiring the former revision", retiring) + says("going back", returning)
	s.Message = strings.TrimPrefix(s.Message, ", ")
}

// retire ends the soak of a member.
func (r *rollout) retire(p *progress) {
	if !p.isOut() && p.ordered == meshv1alpha1.StageSoak {
		r.order(p, meshv1alpha1.StageRetire)
	}
}

// isApproved says whether the wave may start, or has started, or has nobody to start.
func (r *rollout) isApproved(w *meshv1alpha1.PlannedWave) bool {
	if w.Approval != meshv1alpha1.ApprovalRequired || r.decision(w.Name) == meshv1alpha1.DecisionApproved {
		return true
	}
	return r.hasStarted(w) || !slices.ContainsFunc(r.of[w.Name], (*progress).isUntouched)
}

func (r *rollout) hasStarted(w *meshv1alpha1.PlannedWave) bool {
	return slices.ContainsFunc(r.of[w.Name], func(p *progress) bool { return p.hasBegun() || p.isFailed })
}

// isDue says whether it is the wave's turn: it is approved, and every member before it has left its soak.
func (r *rollout) isDue(wave int) bool {
	for i := range r.Upgrade.Spec.Waves[:wave] {
		for _, p := range r.of[r.Upgrade.Spec.Waves[i].Name] {
			if !p.isOut() && !p.isThere && p.ordered != meshv1alpha1.StageRetire {
				return false
			}
		}
	}
	return r.isApproved(&r.Upgrade.Spec.Waves[wave])
}

// startOf is the latest time at which the wave is known to have started, for a member that cannot be reached. When it
// was ordered to start is stored nowhere; but not before the former wave had soaked, and for a member that waits for its
// turn not before the others' first reports. While these have not come, the wave starts now.
func (r *rollout) startOf(wave int, member *progress) time.Time {
	start := r.out.Status.StartedAt.Time
	for i := range r.Upgrade.Spec.Waves[:wave] {
		w := &r.Upgrade.Spec.Waves[i]
		if since := r.wave(w.Name).SoakingSince; since != nil && since.Add(w.Soak.Duration).After(start) {
			start = since.Add(w.Soak.Duration)
		}
	}
	if !member.isUntouched() {
		return start
	}
	var first time.Time
	hasStarted := r.hasStarted(member.wave)
	for _, p := range r.of[member.wave.Name] {
		if p.isReachable && (p.isUntouched() && !hasStarted || p.hasBegun() && p.report == nil) {
			return r.Now
		}
		if p.hasBegun() && p.report != nil && (first.IsZero() || p.report.Since.Time.Before(first)) {
			first = p.report.Since.Time
		}
	}
	if first.After(start) {
		return first
	}
	return start
}

// carryOn takes the members of the wave that have begun a step further, and counts those that change.
func (r *rollout) carryOn(w *meshv1alpha1.PlannedWave) (changing int) {
	for _, p := range r.of[w.Name] {
		if next := p.next(); next != p.ordered {
			r.order(p, next)
		}
		if p.isChanging() {
			changing++
		}
	}
	return changing
}

// move takes members of the wave a step further, and starts as many as its budget allows.
func (r *rollout) move(w *meshv1alpha1.PlannedWave) {
	changing := r.carryOn(w)
	if why, _ := r.obstacle(); why != "" {
		return
	}
	for _, p := range r.of[w.Name] {
		if changing >= int(w.MaxConcurrent) {
			return
		}
		if p.isUntouched() && p.isReachable && p.reports(meshv1alpha1.StageDone) {
			r.order(p, meshv1alpha1.StageInstall)
			changing++
		}
	}
}

// soak says what the wave still waits for before it has soaked. Empty: it has. Once all of it was ordered to retire,
// that is settled.
func (r *rollout) soak(w *meshv1alpha1.PlannedWave) string {
	status := r.wave(w.Name)
	var waiting, changing, soaking, unproven []string
	retiring := 0
	for _, p := range r.of[w.Name] {
		switch {
		case p.isOut() || p.isThere || p.isUntouched() && r.isStopping():
		case p.isUntouched():
			waiting = append(waiting, p.name)
		case !p.isMoved():
			changing = append(changing, p.name)
		case p.ordered == meshv1alpha1.StageRetire:
			retiring++
		default:
			soaking = append(soaking, p.name)
			if !p.isReachable || !p.reports(meshv1alpha1.StageDone) {
				unproven = append(unproven, p.name)
			}
		}
	}
	if len(waiting)+len(changing) > 0 {
		status.SoakingSince = nil
		return strings.TrimPrefix(says("changing", changing)+says("waiting", waiting), ", ")
	}
	if status.SoakingSince == nil && len(soaking)+retiring > 0 {
		status.SoakingSince = r.stamp()
	}
	if len(soaking) == 0 {
		return ""
	}
	end := status.SoakingSince.Add(w.Soak.Duration)
	r.wake(end)
	if len(unproven) > 0 || r.Now.Before(end) {
		return "soaks for " + w.Soak.Duration.String() + says("not proven", unproven)
	}
	return ""
}

// count fills in the numbers of each wave.
func (r *rollout) count() {
	waves := make([]meshv1alpha1.WaveStatus, 0, len(r.Upgrade.Spec.Waves))
	for i := range r.Upgrade.Spec.Waves {
		w := &r.Upgrade.Spec.Waves[i]
		out := meshv1alpha1.WaveStatus{Name: w.Name, SoakingSince: r.wave(w.Name).SoakingSince}
		for _, p := range r.of[w.Name] {
			out.Total++
			switch {
			case p.isFailed:
				out.Failed++
			case p.isMoved():
				out.Moved++
				if p.isRetired() {
					out.Finished++
				}
			}
		}
		waves = append(waves, out)
	}
	r.out.Status.Waves = waves
}

// says lists members after a comma, if there are any.
func says(what string, members []string) string {
	if len(members) == 0 {
		return ""
	}
	return ", " + what + ": " + capped(members)
}

// capped names three members at most.
func capped(members []string) string {
	const limit = 3
	members = slices.Sorted(slices.Values(members))
	if len(members) <= limit {
		return strings.Join(members, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(members[:limit], ", "), len(members)-limit)
}
