package rollout

import (
	"fmt"
	"slices"
	"strings"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
)

// stoppedByHolds is why no member may start, and the upgrade must not succeed: a member that is held would be left too far behind, or all
// members are held. Empty: neither is so.
func (v *view) stoppedByHolds() (reason, why string) {
	if len(v.members) == 0 && len(v.held) > 0 {
		return meshv1alpha1.ReasonMembersHeld, "every member is held: " + v.Holds.List(v.heldNames()) + "; remove spec.members[].hold of those that are to be upgraded"
	}
	var behind []string
	for _, m := range v.held {
		if err := v.Holds.Skew(m, v.Upgrade.Spec.To.Version); err != nil {
			behind = append(behind, err.Error())
		}
	}
	return meshv1alpha1.ReasonUpgradeBlocked, mesh.Sentences(behind, mesh.NamesShown)
}

// heldNames are the members that are held and stay as they are.
func (v *view) heldNames() (names []string) {
	for _, m := range v.held {
		names = append(names, m.Spec.Cluster)
	}
	return names
}

// advance goes through the waves in order and stops at the first that has not soaked. Members that have begun go on
// wherever they are: one of an earlier wave may have been away.
func (r *rollout) advance() {
	s := &r.out.Status
	s.Phase = meshv1alpha1.UpgradeRunning
	r.survey()
	r.carryAllOn()
	for i := range r.Upgrade.Spec.Waves {
		w := &r.Upgrade.Spec.Waves[i]
		s.Wave = w.Name
		if !r.isApproved(w) {
			r.awaitApproval(w)
			return
		}
		noteApproval(r, w)
		open := upgrade.OpeningAt(w.Window, r.Now)
		r.begin(w, open)
		r.awaitExpiry(w)
		r.start(w, open.IsOpen)
		if waits := r.soak(w); waits != "" {
			s.Message = fmt.Sprintf("wave %q: %s", w.Name, waits) + mesh.Labelled("held", r.heldNames())
			r.explain(w)
			if window := r.awaitWindow(w, open); window != "" {
				s.Message += "; " + window
				if r.changing(w) == 0 && s.Phase == meshv1alpha1.UpgradeRunning {
					s.Phase = meshv1alpha1.UpgradeWaitingForWindow
				}
			}
			return
		}
		for _, p := range r.of[w.Name] {
			r.retire(p)
		}
	}
	r.conclude()
}

// conclude ends an upgrade whose waves have all soaked. What keeps the former revision in a member is no reason to wait.
func (r *rollout) conclude() {
	s := &r.out.Status
	var returning []string
	isEnding := false
	for _, p := range r.members {
		isEnding = isEnding || p.isEnding()
		if p.isOut() && !p.isBack() && !p.isEnding() {
			returning = append(returning, p.name)
		}
	}
	unknown := r.unknownMembers()
	if !isEnding && len(returning)+len(unknown) == 0 {
		s.Phase, s.FinishedAt = meshv1alpha1.UpgradeSucceeded, r.stamp()
		s.Message = "every member runs " + r.Upgrade.Spec.To.Revision
		var others []string
		if len(s.Failed) > 0 {
			others = append(others, "those that failed: "+mesh.Capped(s.Failed))
		}
		if held := r.heldNames(); len(held) > 0 {
			others = append(others, "those that are held: "+mesh.Capped(held))
		}
		if len(others) > 0 {
			s.Message += ", but for " + strings.Join(others, ", and ")
		}
		return
	}
	switch {
	case isEnding || len(returning) > 0:
		s.Message = "every wave has soaked" + mesh.Labelled("rolling back", returning) + mesh.Labelled("no report from", unknown)
	default:
		r.hold(meshv1alpha1.ReasonMembersNotReporting, fmt.Sprintf(
			"every other member runs %s; no report from: %s%s; restore the connection, take the member out of spec.members, or abort the upgrade",
			r.Upgrade.Spec.To.Revision, mesh.Capped(unknown), r.hubHint()), "")
	}
}

// retire ends the soak of a member. One of which nothing is known has not soaked.
func (r *rollout) retire(p *progress) {
	if !p.isOut() && p.unknown == "" && p.ordered == meshv1alpha1.StageSoak {
		r.order(p, meshv1alpha1.StageRetire)
	}
}

// carryAllOn takes the members of all waves that have begun a step further.
func (r *rollout) carryAllOn() {
	for i := range r.Upgrade.Spec.Waves {
		r.carryOn(&r.Upgrade.Spec.Waves[i])
	}
}

// carryOn takes the members of the wave that have begun a step further.
func (r *rollout) carryOn(w *meshv1alpha1.PlannedWave) {
	for _, p := range r.of[w.Name] {
		if next := p.next(); next != p.ordered {
			r.order(p, next)
		}
	}
}

// changing counts the members of the wave that change.
func (v *view) changing(w *meshv1alpha1.PlannedWave) (n int) {
	for _, p := range v.of[w.Name] {
		if p.isChanging() {
			n++
		}
	}
	return n
}

// start lets as many members of the wave begin as its budget allows, if its window is open and no other wave changes.
func (r *rollout) start(w *meshv1alpha1.PlannedWave, isOpen bool) {
	if why, _ := r.obstacle(); why != "" || !isOpen {
		return
	}
	if slices.ContainsFunc(r.members, func(p *progress) bool { return p.wave != w && p.isChanging() && !p.isOut() }) {
		return
	}
	changing := r.changing(w)
	for _, p := range r.of[w.Name] {
		if changing >= int(w.MaxConcurrent) {
			break
		}
		if p.isUntouched() && p.isReachable && p.reports(meshv1alpha1.StageDone) {
			r.order(p, meshv1alpha1.StageInstall)
			changing++
		}
	}
}

// soak says what the wave still waits for before it has soaked. Empty: it has. Once all of it was ordered to retire,
// that is settled. Members of which nothing is known are not waited for.
func (r *rollout) soak(w *meshv1alpha1.PlannedWave) string {
	status := r.wave(w.Name)
	var waiting, changing, soaking, unproven []string
	retiring := 0
	for _, p := range r.of[w.Name] {
		switch {
		case p.isOut() || p.isThere || p.unknown != "" || p.isUntouched() && r.isStopping():
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
		return strings.TrimPrefix(mesh.Labelled("changing", changing)+mesh.Labelled("waiting", waiting), ", ")
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
		return "soaks for " + w.Soak.Duration.String() + mesh.Labelled("not proven", unproven)
	}
	return ""
}

// count fills in the numbers of each wave.
func (r *rollout) count() {
	waves := make([]meshv1alpha1.WaveStatus, 0, len(r.Upgrade.Spec.Waves))
	for i := range r.Upgrade.Spec.Waves {
		w := &r.Upgrade.Spec.Waves[i]
		out := *r.wave(w.Name)
		out.Total, out.Moved, out.Finished, out.Failed = 0, 0, 0, 0
		isOver := out.StartedAt != nil
		for _, p := range r.of[w.Name] {
			out.Total++
			isOver = isOver && r.isSettled(p)
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
		if !isOver {
			out.FinishedAt = nil
		} else if out.FinishedAt == nil {
			out.FinishedAt = r.stamp()
		}
		waves = append(waves, out)
	}
	r.out.Status.Waves = waves
}
