package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/parts/claim"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/status"
)

// recount is the pace at which the proxies of a member that is to leave are counted: no watch tells of users' pods.
const recount = 10 * time.Second

// leave says what keeps a member that is to leave. It goes on to be converged meanwhile: proxies that run there need all of
// it. The outcome comes before the others: it has the cure.
func (r *Reconciler) leave(ctx context.Context, pass *member.Pass, isAbandoned bool, outcomes []status.Outcome) []status.Outcome {
	if pass.Object.Spec.Removal == "" && !isAbandoned {
		pass.Object.Status.Removal = nil
		return outcomes
	}
	if pass.Remote == nil {
		connection := outcomes[0].Result
		return slices.Insert(outcomes, 0, status.Outcome{Unknown: true, Result: phase.Result{
			Kind: connection.Kind, Reason: meshv1alpha1.ReasonDeleting, Err: errors.New(unanswered(connection)), Message: unanswered(connection), After: outcome.Recheck,
		}})
	}
	result := r.countProxies(ctx, pass)
	return slices.Insert(outcomes, 0, status.Outcome{Result: result})
}

// unanswered is what is said of a member that is to leave and cannot be reached.
func unanswered(connection phase.Result) string {
	return "waiting for the member to answer (" + connection.Text() +
		"); to leave what is installed there and go on, annotate this MeshMember with " + meshv1alpha1.AnnotationAction + "=" +
		meshv1alpha1.MemberActionOrphan + ", or for every member that leaves set spec.deletionPolicy of the MeshInstallation to Orphan"
}

// countProxies counts the proxies in a member that is to leave. Never done: the removal itself is ordered by the installation.
func (r *Reconciler) countProxies(ctx context.Context, pass *member.Pass) phase.Result {
	holder, err := r.parts.Claim.HeldBy(ctx, pass)
	if err == nil && holder != claim.Own {
		pass.Object.Status.Removal = &meshv1alpha1.MemberRemovalStatus{}
		return phase.Waiting(meshv1alpha1.ReasonDeleting, "nothing of this mesh is in the cluster", outcome.ShortWait)
	}
	if err != nil {
		return outcome.Failed(err)
	}
	found, note, err := r.parts.ControlPlane.Proxies(ctx, pass)
	if err != nil {
		return outcome.Failed(err)
	}
	pass.Object.Status.Removal = &meshv1alpha1.MemberRemovalStatus{
		Proxies: int32(len(found)), //nolint:gosec // no cluster has that many pods
		Sample:  found[:min(len(found), mesh.NamesShown)],
	}
	if len(found) > 0 {
		return phase.Waiting(meshv1alpha1.ReasonWaitingForWorkloads, mesh.KeptBy(pass.Object)+note, recount)
	}
	return phase.Waiting(meshv1alpha1.ReasonDeleting, "no proxy runs in the member"+note, outcome.ShortWait)
}

// mayGo says that nothing keeps an abandoned member.
func mayGo(pass *member.Pass) bool {
	m := pass.Object
	if pass.Remote == nil {
		return mesh.DeletionPolicyOf(m, m.Spec.DeletionPolicy) == meshv1alpha1.DeletionPolicyOrphan || m.Status.ClusterUID == ""
	}
	return m.Spec.DeletionPolicy == meshv1alpha1.DeletionPolicyForce || m.Status.Removal != nil && m.Status.Removal.Proxies == 0
}

// isAbandoned says that a MeshMember is being deleted and its installation is gone: nobody else orders its removal.
func (r *Reconciler) isAbandoned(ctx context.Context, m *meshv1alpha1.MeshMember) (bool, error) {
	if m.DeletionTimestamp.IsZero() || m.Spec.Removal == meshv1alpha1.RemovalNow {
		return false, nil
	}
	inst := &meshv1alpha1.MeshInstallation{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: m.Spec.Installation}, inst)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("read MeshInstallation %q: %w", m.Spec.Installation, err)
	}
	return err != nil || !metav1.IsControlledBy(m, inst), nil
}
