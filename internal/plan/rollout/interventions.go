package rollout

import (
	"slices"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// keptInterventions is how many a record keeps, as its field says.
const keptInterventions = 20

// note records what a person did. It must be stored with what follows from it, in one write: so it is decided again
// when that write is lost, and never twice.
func note(r *rollout, action meshv1alpha1.InterventionAction, by, wave string) {
	s := &r.out.Status
	s.Interventions = append(s.Interventions, meshv1alpha1.Intervention{At: *r.stamp(), Action: action, By: by, Wave: wave})
	s.Interventions = s.Interventions[max(0, len(s.Interventions)-keptInterventions):]
}

// pausedBy is the place whose pause is recorded and not ended. Empty: none.
func (v *view) pausedBy() string {
	for _, i := range slices.Backward(v.status.Interventions) {
		switch i.Action {
		case meshv1alpha1.ActionPause:
			return i.By
		case meshv1alpha1.ActionResume, meshv1alpha1.ActionAbort:
			return ""
		}
	}
	return ""
}

// notePause records a pause, and another one when it is somebody else's word alone that holds the upgrade by now.
func notePause(r *rollout) {
	if !slices.Contains(r.steering.By, r.pausedBy()) {
		note(r, meshv1alpha1.ActionPause, r.steering.By[0], "")
	}
}

// noteResume records that a pause is over. It is the place that held the upgrade last that let it go.
func noteResume(r *rollout) {
	if by := r.pausedBy(); by != "" {
		note(r, meshv1alpha1.ActionResume, by, "")
	}
}

// noteEnd records who ended the upgrade, if it was a person. Call it once, with the write that says that it ends.
func noteEnd(r *rollout, cause meshv1alpha1.UpgradeCause) {
	switch cause {
	case meshv1alpha1.CauseAborted:
		note(r, meshv1alpha1.ActionAbort, r.steering.By[0], "")
	case meshv1alpha1.CauseRejected:
		a := r.rejection()
		note(r, meshv1alpha1.ActionReject, "MeshApproval "+a.Name, a.Spec.Wave)
	}
}

// noteRetry records who asked for this upgrade, before anything else of it is recorded.
func noteRetry(r *rollout) {
	if retry := r.Upgrade.Spec.Retry; retry != nil && len(r.out.Status.Interventions) == 0 {
		note(r, meshv1alpha1.ActionRetry, retry.By, "")
	}
}
