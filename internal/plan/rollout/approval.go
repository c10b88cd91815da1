package rollout

import (
	"fmt"
	"iter"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// answers are the MeshApprovals of a wave of this upgrade. One of another upgrade with the same name is none, nor one that is being
// deleted: admission does not check its changes.
func (v *view) answers(wave string) iter.Seq[*meshv1alpha1.MeshApproval] {
	return func(yield func(*meshv1alpha1.MeshApproval) bool) {
		for i := range v.Approvals {
			a := &v.Approvals[i]
			isAnswer := a.Spec.UpgradeRef.UID == v.Upgrade.UID && a.Spec.Wave == wave && a.DeletionTimestamp.IsZero()
			if isAnswer && !yield(a) {
				return
			}
		}
	}
}

// approved is the approval of a wave that is in force. Nil: there is none.
func (v *view) approved(wave string) *meshv1alpha1.MeshApproval {
	for a := range v.answers(wave) {
		if a.Spec.Decision == meshv1alpha1.DecisionApproved && !mesh.IsExpired(a, v.status, v.Now) {
			return a
		}
	}
	return nil
}

// rejection is the answer by which a person has rejected the first wave that was. Nil: none.
func (v *view) rejection() *meshv1alpha1.MeshApproval {
	for i := range v.Upgrade.Spec.Waves {
		for a := range v.answers(v.Upgrade.Spec.Waves[i].Name) {
			if a.Spec.Decision == meshv1alpha1.DecisionRejected {
				return a
			}
		}
	}
	return nil
}

// rejected says which wave a person has rejected. Empty: none.
func (v *view) rejected() string {
	if a := v.rejection(); a != nil {
		return fmt.Sprintf("wave %q was rejected", a.Spec.Wave)
	}
	return ""
}

// isApproved says whether the wave may start, or has started, or has nobody to start.
func (v *view) isApproved(w *meshv1alpha1.PlannedWave) bool {
	if w.Approval != meshv1alpha1.ApprovalRequired || v.approved(w.Name) != nil {
		return true
	}
	return v.hasStarted(w) || !v.hasUntouched(w)
}

// awaitApproval asks for the approval of a wave. One that has expired is asked for again, by another MeshApproval.
func (r *rollout) awaitApproval(w *meshv1alpha1.PlannedWave) {
	expired := 0
	for a := range r.answers(w.Name) {
		if mesh.IsExpired(a, r.status, r.Now) {
			expired++
		}
	}
	name := mesh.ApprovalName(r.Upgrade.Name, w.Name, expired)
	s := &r.out.Status
	s.Phase, s.Message = meshv1alpha1.UpgradeWaitingForApproval, fmt.Sprintf("wave %q waits for approval", w.Name)
	if expired > 0 {
		s.Message += fmt.Sprintf("; approvals that expired before the wave started: %d", expired)
	}
	r.wave(w.Name).ApprovedAt = nil
	r.out.Approvals = []Request{{Wave: w.Name, Name: name}}
	r.out.Hold = Hold{meshv1alpha1.ReasonWaitingForApproval, "set spec.decision of MeshApproval " + name + " to Approved or Rejected"}
}

// noteApproval records that a wave was approved, when that first lets it go on. The wave keeps the time, because the
// record of it may be among those that are dropped.
func noteApproval(r *rollout, w *meshv1alpha1.PlannedWave) {
	s := r.wave(w.Name)
	if w.Approval != meshv1alpha1.ApprovalRequired || s.ApprovedAt != nil {
		return
	}
	if a := r.approved(w.Name); a != nil {
		s.ApprovedAt = r.stamp()
		note(r, meshv1alpha1.ActionApprove, "MeshApproval "+a.Name, w.Name)
	}
}

// awaitExpiry asks for another decision when the approval of a wave that has not started expires.
func (r *rollout) awaitExpiry(w *meshv1alpha1.PlannedWave) {
	if a := r.approved(w.Name); a != nil && a.Spec.Expires != nil && r.wave(w.Name).StartedAt == nil {
		r.wake(a.Spec.Expires.Time)
	}
}
