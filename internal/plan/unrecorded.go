package plan

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// Unrecorded is the run that takes members back which are between two revisions by upgrades that have no record any more, and their
// names. Their work orders have all that is needed for that, each for its own member. For two minutes after an order, and after the operator
// began to watch, the record may only be late, and every order stands. So do those of members that follow a record. Nil: there are none.
func Unrecorded(members []meshv1alpha1.MeshMember, history []meshv1alpha1.MeshUpgrade, watchedSince, now time.Time) (*Run, []string) {
	run := &Run{Orders: map[string]meshv1alpha1.Stage{}, Now: now}
	var names []string
	for i := range members {
		m := &members[i]
		o := m.Spec.Rollout
		if o == nil || mesh.IsLeaving(m) {
			continue
		}
		if slices.ContainsFunc(history, func(u meshv1alpha1.MeshUpgrade) bool { return u.Name == o.Upgrade }) {
			run.Orders[m.Spec.Cluster] = o.Stage
			continue
		}
		if !mesh.BringsTarget(o.Stage) && o.Stage != meshv1alpha1.StageRollback {
			continue
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
		run.Missing = append(run.Missing, o.Upgrade)
		names = append(names, m.Spec.Cluster)
	}
	if len(names) == 0 {
		return nil, nil
	}
	slices.Sort(run.Missing)
	run.Missing = slices.Compact(run.Missing)
	return run, names
}

// formerRecord is as much of an upgrade as work orders need of it, from the work order of a member. One that is not rolled back yet is
// rolled back because nobody records its upgrade: it has not failed.
func formerRecord(m *meshv1alpha1.MeshMember) *meshv1alpha1.MeshUpgrade {
	o := m.Spec.Rollout
	return &meshv1alpha1.MeshUpgrade{
		ObjectMeta: metav1.ObjectMeta{Name: o.Upgrade, Namespace: m.Namespace},
		Spec: meshv1alpha1.MeshUpgradeSpec{
			Installation: m.Spec.Installation, To: meshv1alpha1.RevisionTarget{Revision: o.To.Name, Version: o.To.Version}, Gates: o.Gates,
		},
		Status: meshv1alpha1.MeshUpgradeStatus{Cause: cmp.Or(o.Cause, meshv1alpha1.CauseAborted)},
	}
}
