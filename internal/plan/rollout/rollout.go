package rollout

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
)

// Input is all that a step of an upgrade is decided from.
type Input struct {
	Upgrade   *meshv1alpha1.MeshUpgrade
	Members   []meshv1alpha1.MeshMember
	Approvals []meshv1alpha1.MeshApproval
	// State is the installation's. The annotation of the upgrade may say more.
	State meshv1alpha1.UpgradeState
	// Holds are the installation's. They keep members that have not started.
	Holds upgrade.Holds
	// UnreachablePeers is the installation's policy. Empty: Wait.
	UnreachablePeers meshv1alpha1.UnreachablePeers
	// IsSuperseded says that the spec asks for another target by now, IsTakenBack that this is what the upgrade came from.
	IsSuperseded, IsTakenBack bool
	Now                       time.Time
	// WatchedSince is when the operator began to watch. Deadlines do not count the time before: what members did meanwhile is
	// not known. Zero: always.
	WatchedSince time.Time
}

// Decision is what to write now.
type Decision struct {
	// Orders are the stages to order, by the member's name. A member that is not in it is not touched, or the upgrade
	// is finished. Orders are complete until a finished phase has been stored; then there are none.
	Orders map[string]meshv1alpha1.Stage
	// Status is the upgrade's. Write it before the orders: so nothing that failed is forgotten.
	Status meshv1alpha1.MeshUpgradeStatus
	// Approvals are the MeshApprovals that must exist now.
	Approvals []Request
	// Reason says why, for logs.
	Reason string
	// Hold is set while the upgrade stands still until a person acts.
	Hold Hold
	// After is when time alone changes something. Zero: never.
	After time.Duration
}

// Request is a MeshApproval that a wave waits for.
type Request struct{ Wave, Name string }

// Hold is why an upgrade stands still until a person acts. The status has the details in its message.
type Hold struct {
	// Reason is a condition reason of the API. Empty: the upgrade does not stand still.
	Reason string
	// Cure is what a person can do. Empty: the message has it.
	Cure string
}

// view is what is known when a decision is made. Its methods decide nothing.
type view struct {
	Input
	// status is what will be written of the upgrade.
	status   *meshv1alpha1.MeshUpgradeStatus
	steering upgrade.Steering
	// members are those of the waves that are still there, in the waves' order, and by wave.
	members []*progress
	of      map[string][]*progress
	// held are the members that are held and stay as they are, by name. They are not among the members.
	held []*meshv1alpha1.MeshMember
}

// rollout is one decision in the making.
type rollout struct {
	view
	out Decision
}

// Next decides the next step of an upgrade from what is stored. A member makes one transition at most.
//
// Going back cannot be paused: a mesh half way is the worst place to stop.
func Next(in Input) Decision {
	status := in.Upgrade.Status.DeepCopy()
	if status.Phase.IsFinished() {
		return Decision{Status: *status, Reason: status.Message}
	}
	r := newRollout(in, status)
	switch cause, why := r.isGoingBack(); {
	case why != "":
		r.goBack(cause, why)
	case r.isSuperseded():
		r.supersede()
	case r.steering.State == meshv1alpha1.UpgradeStatePause:
		notePause(r)
		r.returnOut()
		r.hold(meshv1alpha1.ReasonUpgradePaused, r.steering.Says("paused"), "to go on, "+r.steering.HowToResume())
	default:
		noteResume(r)
		r.run()
	}
	r.count()
	if r.out.Reason == "" {
		r.out.Reason = r.out.Status.Message
	}
	return r.out
}

func newRollout(in Input, status *meshv1alpha1.MeshUpgradeStatus) *rollout {
	r := &rollout{
		view: view{Input: in, of: map[string][]*progress{}, steering: upgrade.SteeringOf(in.Upgrade, in.State)},
		out:  Decision{Orders: map[string]meshv1alpha1.Stage{}, Status: *status},
	}
	r.view.status = &r.out.Status
	if r.out.Status.StartedAt == nil {
		r.out.Status.StartedAt = r.stamp()
		noteRetry(r)
	}
	present := map[string]*meshv1alpha1.MeshMember{}
	for i := range in.Members {
		switch m := &in.Members[i]; {
		case mesh.IsLeaving(m):
			// Who leaves is not waited for.
		case in.Holds.Has(m.Spec.Cluster) && observeProgress(m, in.Upgrade, nil).isUntouched():
			r.held = append(r.held, m)
		default:
			present[m.Spec.Cluster] = m
		}
	}
	slices.SortFunc(r.held, func(a, b *meshv1alpha1.MeshMember) int { return cmp.Compare(a.Spec.Cluster, b.Spec.Cluster) })
	for i := range in.Upgrade.Spec.Waves {
		wave := &in.Upgrade.Spec.Waves[i]
		r.wave(wave.Name).OpensAt = nil
		for _, name := range wave.Members {
			if m := present[name]; m != nil {
				p := observeProgress(m, in.Upgrade, wave)
				r.members = append(r.members, p)
				r.of[wave.Name] = append(r.of[wave.Name], p)
				r.order(p, p.ordered)
			}
		}
	}
	r.markLost()
	r.observeUnknown()
	return r
}

// stamp is the time as the API server keeps it: in seconds, so that what is read back is what was written.
func (v *view) stamp() *metav1.Time {
	t := metav1.NewTime(v.Now.Truncate(time.Second))
	return &t
}

// order writes a stage down. What the member reports of another one says nothing of it.
func (r *rollout) order(p *progress, stage meshv1alpha1.Stage) {
	if p.ordered != stage {
		p.ordered, p.report = stage, nil
	}
	if stage != "" {
		r.out.Orders[p.name] = stage
	}
}

// wake asks for another decision at a time.
func (r *rollout) wake(at time.Time) {
	if left := at.Sub(r.Now); left > 0 && (r.out.After == 0 || left < r.out.After) {
		r.out.After = left
	}
}

// wave is the status of a wave.
func (v *view) wave(name string) *meshv1alpha1.WaveStatus {
	waves := &v.status.Waves
	i := slices.IndexFunc(*waves, func(w meshv1alpha1.WaveStatus) bool { return w.Name == name })
	if i < 0 {
		*waves = append(*waves, meshv1alpha1.WaveStatus{Name: name})
		i = len(*waves) - 1
	}
	return &(*waves)[i]
}

// isGoingBack says whether people want every member back, or this was decided before, and why. Empty: no.
func (v *view) isGoingBack() (cause meshv1alpha1.UpgradeCause, why string) {
	switch {
	case v.status.Phase == meshv1alpha1.UpgradeRollingBack:
		return v.status.Cause, cmp.Or(v.status.CauseDetail, v.status.Message)
	case v.IsSuperseded && v.IsTakenBack:
		return meshv1alpha1.CauseSuperseded, "the spec of the MeshInstallation asks for the former revision again"
	case v.steering.State == meshv1alpha1.UpgradeStateAbort:
		return meshv1alpha1.CauseAborted, v.steering.Says("aborted")
	}
	if rejected := v.rejected(); rejected != "" && v.scope() == meshv1alpha1.RollbackScopeUpgrade {
		return meshv1alpha1.CauseRejected, rejected
	}
	return "", ""
}

// goBack takes every touched member back, all at once: the sooner, the better.
func (r *rollout) goBack(cause meshv1alpha1.UpgradeCause, why string) {
	s := &r.out.Status
	if s.Phase != meshv1alpha1.UpgradeRollingBack {
		noteEnd(r, cause)
	}
	s.Phase, s.Cause, s.CauseDetail, s.Message = meshv1alpha1.UpgradeRollingBack, cause, why, why
	r.out.After = 0
	isOver := true
	var waiting []*progress
	for _, p := range r.members {
		r.wave(p.wave.Name).SoakingSince = nil
		if p.isBack() {
			continue
		}
		isOver = false
		if r.order(p, p.back()); p.ordered == meshv1alpha1.StageRollback {
			waiting = append(waiting, p)
		}
	}
	if isOver {
		s.Phase, s.FinishedAt = meshv1alpha1.UpgradeRolledBack, r.stamp()
		return
	}
	if len(waiting) > 0 {
		s.Message = why + "; rolling back: " + returning(waiting)
	}
}

// hold leaves everything as it is ordered. A cure that the words have already is empty.
func (r *rollout) hold(reason, why, cure string) {
	r.out.Status.Phase, r.out.Status.Message = meshv1alpha1.UpgradePaused, why
	r.out.Hold = Hold{Reason: reason, Cure: cure}
}
