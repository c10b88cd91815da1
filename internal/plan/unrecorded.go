package plan

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// Unrecorded is the run that takes members back which are between two revisions by an upgrade that has no record any more, and their
// names. Their work orders have all that is needed for that. For two minutes after an order, and after the operator began to watch, the
// record may only be late, and every order stands. Nil: there are none.
func Unrecorded(members []meshv1alpha1.MeshMember, history []meshv1alpha1.MeshUpgrade, watchedSince, now time.Time) (*Run, []string) {
	var run *Run
	var names []string
	for i := range members {
		m := &members[i]
		o := m.Spec.Rollout
		if o == nil || mesh.IsLeaving(m) || !mesh.BringsTarget(o.Stage) && o.Stage != meshv1alpha1.StageRollback ||
			slices.ContainsFunc(history, func(u meshv1alpha1.MeshUpgrade) bool { return u.Name == o.Upgrade }) {
			continue
		}
		if run == nil {
			run = &Run{Upgrade: formerRecord(m), Orders: map[string]meshv1alpha1.Stage{}, Now: now}
		}
		stage := meshv1alpha1.StageRollback
		st := m.Status.Rollout
		switch {
		case now.Sub(watchedSince) < lostFor || now.Sub(o.OrderedAt.Time) < lostFor:
			stage = o.Stage
		case o.Stage == stage && st != nil && st.Upgrade == o.Upgrade && st.Stage == stage && st.State == meshv1alpha1.StageDone:
			stage = meshv1alpha1.StageDiscard
		}
		run.Orders[m.Spec.Cluster] = stage
		names = append(names, m.Spec.Cluster)
	}
	return run, names
}

// formerRecord is as much of an upgrade as work orders need of it, from the work order of a member.
func formerRecord(m *meshv1alpha1.MeshMember) *meshv1alpha1.MeshUpgrade {
	o := m.Spec.Rollout
	return &meshv1alpha1.MeshUpgrade{
		ObjectMeta: metav1.ObjectMeta{Name: o.Upgrade, Namespace: m.Namespace},
		Spec: meshv1alpha1.MeshUpgradeSpec{
			Installation: m.Spec.Installation, To: meshv1alpha1.RevisionTarget{Revision: o.To.Name, Version: o.To.Version}, Gates: o.Gates,
		},
		Status: meshv1alpha1.MeshUpgradeStatus{Cause: meshv1alpha1.CauseAborted},
	}
}
