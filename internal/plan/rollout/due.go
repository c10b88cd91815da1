package rollout

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
)

func (v *view) hasStarted(w *meshv1alpha1.PlannedWave) bool {
	return slices.ContainsFunc(v.of[w.Name], func(p *progress) bool { return p.hasBegun() || p.isFailed })
}

func (v *view) hasUntouched(w *meshv1alpha1.PlannedWave) bool {
	return slices.ContainsFunc(v.of[w.Name], (*progress).isUntouched)
}

// begin gives the wave its turn: its time counts from the moment when members of it may start.
func (r *rollout) begin(w *meshv1alpha1.PlannedWave, o upgrade.Opening) {
	why, _ := r.obstacle()
	if s := r.wave(w.Name); s.StartedAt == nil && (o.IsOpen && why == "" || !r.hasUntouched(w)) {
		s.StartedAt = r.stamp()
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// awaitDeadlines asks for another decision when time alone makes a member fail, or makes it unknown.
func (r *rollout) awaitDeadlines() {
	for _, p := range r.members {
		if p.isOut() {
			continue
		}
		if p.hasBegun() {
			r.wake(p.due)
		}
		r.wake(r.silentUntil(p))
	}
}

// awaitWindow tells when the wave's window opens next, if members wait for it. While it is open, it asks for another
// decision when it closes.
func (r *rollout) awaitWindow(w *meshv1alpha1.PlannedWave, o upgrade.Opening) (waits string) {
	if w.Window == nil || !r.hasUntouched(w) {
		return ""
	}
	if o.IsOpen {
		r.wake(o.End)
		return ""
	}
	if o.Start.IsZero() {
		return "its window never opens"
	}
	r.wake(o.Start)
	opens := metav1.NewTime(o.Start.UTC())
	r.wave(w.Name).OpensAt = &opens
	return fmt.Sprintf("its window opens at %s", o.Start.Format(time.RFC3339))
}

// isSettled says whether nothing more is to happen in a member.
func (v *view) isSettled(p *progress) bool {
	if p.isThere || p.ordered == meshv1alpha1.StageRetire {
		return true
	}
	switch v.status.Phase {
	case meshv1alpha1.UpgradeRollingBack, meshv1alpha1.UpgradeRolledBack, meshv1alpha1.UpgradeStopping, meshv1alpha1.UpgradeStopped:
		return p.isBack()
	}
	return p.isOut() && p.isBack()
}
