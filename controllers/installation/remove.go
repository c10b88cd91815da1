package installation

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/status"
)

// restoreNotice is how long a MeshMember may take to be made again before the installation's status shows it.
const restoreNotice = 30 * time.Second

// remove takes the mesh out of all members, each when no proxy runs there, and then deletes the certificates' Secrets;
// everything else goes with the installation.
func (r *Reconciler) remove(ctx context.Context, inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember) (ctrl.Result, error) {
	if controllerutil.RemoveFinalizer(inst, metav1.FinalizerDeleteDependents) {
		// The garbage collector would delete the certificates of members that still serve.
		if err := r.Client.Update(ctx, inst); err != nil {
			return outcome.Written(err)
		}
	}
	// An upgrade that is under way ends here: its members keep the revisions that they have until they are taken out.
	if err := r.records().release(ctx, inst); err != nil {
		return outcome.Written(err)
	}
	if len(members) > 0 {
		before := inst.DeepCopy()
		return r.finish(ctx, before, inst, r.takeOut(ctx, inst, members))
	}
	if err := r.trust().Remove(ctx, inst); err != nil {
		return ctrl.Result{}, err
	}
	if controllerutil.RemoveFinalizer(inst, meshv1alpha1.Finalizer) {
		return outcome.Written(r.Client.Update(ctx, inst))
	}
	return ctrl.Result{}, nil
}

// takeOut takes a further step of removing the members of a mesh that is being deleted. Those that still serve keep their
// certificates; that these cannot be written does not keep the others from going.
func (r *Reconciler) takeOut(ctx context.Context, inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember) []status.Outcome {
	certificates := r.certificates(ctx, inst, members)
	summarise(inst, members)
	planned, err := plan.Members(inst, members, nil)
	if err != nil {
		return []status.Outcome{{Result: phase.Stall(meshv1alpha1.ReasonInvalidValues, err)}}
	}
	if err := r.writeMembers(ctx, inst, planned, members); err != nil {
		return []status.Outcome{{Result: outcome.Failed(err)}}
	}
	outcomes := []status.Outcome{{Result: phase.Waiting(meshv1alpha1.ReasonDeleting, "the members are being taken out", 0)}}
	if leaving, ok := leavingMembers(plannedRemovals(members, planned)); ok {
		outcomes[0] = leaving
	}
	if certificates.Kind == phase.Retry || certificates.Kind == phase.Stalled {
		outcomes = append(outcomes, status.Outcome{Result: certificates})
	}
	return outcomes
}

// plannedRemovals are the members with the removals that were just ordered.
func plannedRemovals(members []meshv1alpha1.MeshMember, p plan.MembersPlan) []meshv1alpha1.MeshMember {
	ordered := make(map[string]meshv1alpha1.MemberRemoval, len(p.Leaving))
	for i := range p.Leaving {
		ordered[p.Leaving[i].Name] = p.Leaving[i].Spec.Removal
	}
	out := slices.Clone(members)
	for i := range out {
		if removal, isLeaving := ordered[out[i].Name]; isLeaving {
			out[i].Spec.Removal = removal
		}
	}
	return out
}

// writeLeaving writes the work orders of members that left, and deletes the MeshMembers of those that are to be taken out.
func (r *Reconciler) writeLeaving(ctx context.Context, inst *meshv1alpha1.MeshInstallation, p plan.MembersPlan) error {
	for i := range p.Leaving {
		want := &p.Leaving[i]
		have := &meshv1alpha1.MeshMember{}
		if err := r.Client.Get(ctx, client.ObjectKeyFromObject(want), have); err != nil {
			if client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("read MeshMember %q: %w", want.Name, err)
			}
			continue
		}
		if isSameOrder(&have.Spec, &want.Spec) {
			continue
		}
		if have.ResourceVersion != want.ResourceVersion {
			return changedMeanwhile(want.Name)
		}
		have.Spec = *want.Spec.DeepCopy()
		if err := r.Client.Update(ctx, have); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("write MeshMember %q: %w", want.Name, err)
		}
	}
	for _, name := range p.Remove {
		m := &meshv1alpha1.MeshMember{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: inst.Namespace}}
		if err := r.Client.Delete(ctx, m); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete MeshMember %q: %w", name, err)
		}
	}
	return nil
}

// awaitRestored comes back soon for MeshMembers that are being made again. The status shows only those that take long.
func (r *Reconciler) awaitRestored(
	ctx context.Context, before, inst *meshv1alpha1.MeshInstallation, pending []string, members []meshv1alpha1.MeshMember,
) (ctrl.Result, error) {
	for i := range members {
		m := &members[i]
		if slices.Contains(pending, m.Name) && !m.DeletionTimestamp.IsZero() && r.Now().Sub(m.DeletionTimestamp.Time) > restoreNotice {
			return r.finish(ctx, before, inst, []status.Outcome{{Result: phase.Waiting(meshv1alpha1.ReasonRestoring,
				"MeshMembers that were deleted are not made again yet: "+mesh.List(pending, len(pending))+"; look for finalizers of others", outcome.ShortWait)}})
		}
	}
	return ctrl.Result{RequeueAfter: outcome.ShortWait}, nil
}

// leavingMembers tells what the members wait for that are no longer in the spec, if there are any.
func leavingMembers(members []meshv1alpha1.MeshMember) (status.Outcome, bool) {
	var inUse, others []string
	first := map[bool]string{}
	for i := range members {
		m := &members[i]
		if !mesh.IsLeaving(m) {
			continue
		}
		isInUse := m.Spec.Removal == meshv1alpha1.RemovalWhenUnused && m.Status.Removal != nil && m.Status.Removal.Proxies > 0
		if isInUse {
			inUse = append(inUse, m.Spec.Cluster)
		} else {
			others = append(others, m.Spec.Cluster)
		}
		if first[isInUse] == "" {
			first[isInUse] = whatRemovalAwaits(m, isInUse)
		}
	}
	var text string
	if len(others) > 0 {
		text = "removing " + mesh.List(others, len(others)) + first[false]
	}
	switch {
	case len(inUse) > 0 && text != "":
		text = "; " + text
		fallthrough
	case len(inUse) > 0:
		return status.Outcome{Result: phase.Waiting(meshv1alpha1.ReasonWaitingForWorkloads,
			fmt.Sprintf("%d members wait before they leave (%s)%s%s", len(inUse), mesh.List(inUse, len(inUse)), first[true], text), 0)}, true
	case len(others) > 0:
		return status.Outcome{Result: phase.Waiting(meshv1alpha1.ReasonDeleting, text, 0)}, true
	}
	return status.Outcome{}, false
}

// whatRemovalAwaits is what a member that leaves says of it, for the message of its installation.
func whatRemovalAwaits(m *meshv1alpha1.MeshMember, isInUse bool) string {
	if isInUse {
		return ": " + mesh.KeptBy(m)
	}
	c := meta.FindStatusCondition(m.Status.Conditions, meshv1alpha1.ConditionReady)
	if c != nil && c.Reason == meshv1alpha1.ReasonDeleting {
		return "; " + m.Spec.Cluster + ": " + c.Message
	}
	return ""
}
