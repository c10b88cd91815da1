package member

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/parts/claim"
	"github.com/meshfleet/meshfleet/internal/parts/eastwest"
	"github.com/meshfleet/meshfleet/internal/phase"
)

// remove takes the mesh out of a member, in reverse order of its making. Done: nothing of ours is left there, or there
// is nothing to be done.
func (r *Reconciler) remove(ctx context.Context, pass *member.Pass) phase.Result {
	connection := r.connect(ctx, pass)
	if connection.Kind != phase.Done {
		if pass.Object.Status.ClusterUID == "" || pass.Object.Spec.DeletionPolicy == meshv1alpha1.DeletionPolicyOrphan {
			// It was never reached, so nothing was ever written there; or what is there is to stay.
			return phase.Result{}
		}
		return phase.Waiting(meshv1alpha1.ReasonDeleting, unanswered(connection), outcome.Recheck)
	}
	holder, err := r.parts.Claim.HeldBy(ctx, pass)
	switch {
	case err != nil:
		return outcome.Failed(err)
	case holder == claim.Other:
		return phase.Result{}
	case holder == claim.Nobody:
		// The claim goes with the control plane's namespace. What has no namespace stays, and would go on to call an istiod that is gone.
		return r.removeUnclaimed(ctx, pass)
	}
	for _, step := range []func(context.Context, *member.Pass) phase.Result{r.unused, forgotten, eastwest.WithdrawAll, r.uninstall} {
		if result := step(ctx, pass); result.Kind != phase.Done {
			return result
		}
	}
	return phase.Result{}
}

// unused lets a removal begin only when no proxy was counted, or the policy says that it does not matter. A member that
// could not be reached when its removal was ordered is counted now. Once begun, a removal goes on.
func (r *Reconciler) unused(ctx context.Context, pass *member.Pass) phase.Result {
	if pass.Object.Spec.DeletionPolicy == meshv1alpha1.DeletionPolicyForce {
		pass.Object.Status.Removal = nil
		return phase.Result{}
	}
	if st := pass.Object.Status.Removal; st != nil && st.Proxies == 0 {
		return phase.Result{}
	}
	if result := r.countProxies(ctx, pass); result.Kind != phase.Wait || pass.Object.Status.Removal.Proxies > 0 {
		return result
	}
	return phase.Result{}
}

// forgotten waits until no peer that stays reads this member any more: from then on no new request comes from them. It
// does not wait for what is not going to happen.
func forgotten(ctx context.Context, pass *member.Pass) phase.Result {
	siblings, err := pass.Siblings(ctx)
	if err != nil {
		return outcome.Failed(err)
	}
	var waiting []string
	for i := range siblings {
		o := &siblings[i]
		if slices.ContainsFunc(o.Spec.Peers, func(p meshv1alpha1.Peer) bool { return p.Name == pass.Object.Spec.Cluster }) {
			// It will not forget: the member is wanted again.
			continue
		}
		if !meta.IsStatusConditionTrue(o.Status.Conditions, meshv1alpha1.ConditionReachable) {
			// It cannot be told to forget.
			continue
		}
		if slices.ContainsFunc(o.Status.Discovery.Peers, func(p meshv1alpha1.PeerStatus) bool { return p.Name == pass.Object.Spec.Cluster }) {
			waiting = append(waiting, o.Spec.Cluster)
		}
	}
	if len(waiting) == 0 || pass.Now.Sub(pass.Object.DeletionTimestamp.Time) > eastwest.ForgetDeadline {
		return phase.Result{}
	}
	return phase.Waiting(meshv1alpha1.ReasonDeleting, "waiting for peers to forget the member: "+mesh.List(waiting, len(waiting)), outcome.ShortWait)
}

// uninstall deletes every component by its inventory, in reverse order of their making. The claim is the last.
func (r *Reconciler) uninstall(ctx context.Context, pass *member.Pass) phase.Result {
	components, err := pass.Applier().Components(ctx)
	if err != nil {
		return outcome.Failed(err)
	}
	for _, c := range r.parts.RemovalOrder(components) {
		if c == claim.Component {
			if result := r.sweep(ctx, pass); result.Kind != phase.Done {
				return result
			}
		}
		if p := r.parts.Owner(c); p != nil && p.Undo != nil {
			if err := p.Undo(ctx, pass); err != nil {
				return outcome.Failed(err)
			}
		}
		gone, err := pass.Applier().Delete(ctx, c)
		if err != nil {
			return outcome.Failed(fmt.Errorf("delete component %q: %w", c, err))
		}
		if !gone {
			return phase.Waiting(meshv1alpha1.ReasonDeleting, "waiting for the objects of "+c+" to be gone", outcome.ShortWait)
		}
	}
	return phase.Result{}
}

// removeUnclaimed takes the mesh out of a cluster whose claim is gone. An inventory of the claim that was begun again cannot be deleted if
// the permissions went with the namespace; it may stay.
func (r *Reconciler) removeUnclaimed(ctx context.Context, pass *member.Pass) phase.Result {
	if result := r.sweep(ctx, pass); result.Kind != phase.Done {
		return result
	}
	if _, err := pass.Applier().Delete(ctx, claim.Component); err != nil && !apierrors.IsForbidden(err) {
		return outcome.Failed(fmt.Errorf("delete component %q: %w", claim.Component, err))
	}
	return phase.Result{}
}

// sweep deletes the cluster-scoped objects that no inventory lists any more.
func (r *Reconciler) sweep(ctx context.Context, pass *member.Pass) phase.Result {
	gone, err := pass.Applier().Sweep(ctx, charts.ClusterScoped())
	if err != nil {
		return outcome.Failed(err)
	}
	if !gone {
		return phase.Waiting(meshv1alpha1.ReasonDeleting, "waiting for cluster-scoped objects of the mesh to be gone", outcome.ShortWait)
	}
	return phase.Result{}
}
