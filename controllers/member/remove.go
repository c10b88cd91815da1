package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/parts/controlplane"
	"github.com/meshfleet/meshfleet/internal/parts/eastwest"
	"github.com/meshfleet/meshfleet/internal/phase"
)

const (
	// forgetDeadline bounds the wait for peers to drop a member that leaves.
	forgetDeadline = 2 * time.Minute
	// drain is how long a gateway keeps serving after peers were told that it goes: longer than istiod takes to push
	// and proxies take to finish what is under way.
	drain = 10 * time.Second
)

// remove takes the mesh out of a member, in reverse order of its making. Done: nothing of ours is left there, or there
// is nothing to be done.
func (r *Reconciler) remove(ctx context.Context, s *scope) phase.Result {
	connection := r.connect(ctx, s)
	if connection.Kind != phase.Done && r.attach(s).Kind == phase.Done {
		// The kubeconfig's Secret may have been deleted along with the mesh; the connection made from it still works.
		connection = phase.Result{}
	}
	if connection.Kind != phase.Done {
		if s.member.Status.ClusterUID == "" || s.member.Spec.DeletionPolicy == meshv1alpha1.DeletionPolicyOrphan {
			// It was never reached, so nothing was ever written there; or what is there is to stay.
			return phase.Result{}
		}
		return phase.Waiting(meshv1alpha1.ReasonDeleting, unanswered(connection), outcome.Recheck)
	}
	mine, err := r.holdsClaim(ctx, s)
	if errors.Is(err, errClaimed) || err == nil && !mine {
		return phase.Result{}
	}
	if err != nil {
		return outcome.Failed(err)
	}
	for _, step := range []func(context.Context, *scope) phase.Result{r.unused, r.forgotten, r.withdraw, r.uninstall} {
		if result := step(ctx, s); result.Kind != phase.Done {
			return result
		}
	}
	return phase.Result{}
}

// unused lets a removal begin only when no proxy was counted, or the policy says that it does not matter. A member that
// could not be reached when its removal was ordered is counted now. Once begun, a removal goes on.
func (r *Reconciler) unused(ctx context.Context, s *scope) phase.Result {
	if s.member.Spec.DeletionPolicy == meshv1alpha1.DeletionPolicyForce {
		s.member.Status.Removal = nil
		return phase.Result{}
	}
	if st := s.member.Status.Removal; st != nil && st.Proxies == 0 {
		return phase.Result{}
	}
	if result := r.countProxies(ctx, s); result.Kind != phase.Wait || s.member.Status.Removal.Proxies > 0 {
		return result
	}
	return phase.Result{}
}

// forgotten waits until no peer that stays reads this member any more: from then on no new request comes from them. It
// does not wait for what is not going to happen.
func (r *Reconciler) forgotten(ctx context.Context, s *scope) phase.Result {
	siblings, err := r.siblingMembers(ctx, s)
	if err != nil {
		return outcome.Failed(err)
	}
	var waiting []string
	for i := range siblings {
		o := &siblings[i]
		if slices.ContainsFunc(o.Spec.Peers, func(p meshv1alpha1.Peer) bool { return p.Name == s.member.Spec.Cluster }) {
			// It will not forget: the member is wanted again.
			continue
		}
		if !meta.IsStatusConditionTrue(o.Status.Conditions, meshv1alpha1.ConditionReachable) {
			// It cannot be told to forget.
			continue
		}
		if slices.ContainsFunc(o.Status.Discovery.Peers, func(p meshv1alpha1.PeerStatus) bool { return p.Name == s.member.Spec.Cluster }) {
			waiting = append(waiting, o.Spec.Cluster)
		}
	}
	if len(waiting) == 0 || s.now.Sub(s.member.DeletionTimestamp.Time) > forgetDeadline {
		return phase.Result{}
	}
	return phase.Waiting(meshv1alpha1.ReasonDeleting, "waiting for peers to forget the member: "+strings.Join(waiting, ", "), outcome.ShortWait)
}

// withdraw takes the network label off every gateway and lets them drain, if anybody was told of them.
func (r *Reconciler) withdraw(ctx context.Context, s *scope) phase.Result {
	gateways, err := r.gateways(ctx, s)
	if err != nil {
		return outcome.Failed(err)
	}
	for _, g := range gateways {
		key := client.ObjectKey{Namespace: s.namespace(), Name: mesh.GatewayName(g)}
		at, err := eastwest.Withdraw(ctx, s.remote, key, s.owner(), s.now)
		if err != nil {
			return outcome.Failed(err)
		}
		if left := drain - s.now.Sub(at); !at.IsZero() && left > 0 {
			return phase.Waiting(meshv1alpha1.ReasonDeleting, "the gateway "+key.Name+" drains", left)
		}
	}
	return phase.Result{}
}

// uninstall deletes every component by its inventory, the claim last.
func (r *Reconciler) uninstall(ctx context.Context, s *scope) phase.Result {
	components, err := s.state.applier.Components(ctx)
	if err != nil {
		return outcome.Failed(err)
	}
	slices.SortFunc(components, func(a, b string) int { return removalRank(a) - removalRank(b) })
	for _, c := range components {
		if c == claimComponent {
			if err := r.namespaceLabelled(ctx, s, ""); err != nil {
				return outcome.Failed(err)
			}
		}
		gone, err := s.state.applier.Delete(ctx, c)
		if err != nil {
			return outcome.Failed(fmt.Errorf("delete component %q: %w", c, err))
		}
		if !gone {
			return phase.Waiting(meshv1alpha1.ReasonDeleting, "waiting for the objects of "+c+" to be gone", outcome.ShortWait)
		}
	}
	return phase.Result{}
}

// removalRank orders components for removal: the reverse of their making.
func removalRank(component string) int {
	switch {
	case strings.HasPrefix(component, eastwest.Prefix):
		return 0
	case component == eastwest.Listener:
		return 1
	case component == remoteSecretsComponent, component == markerComponent:
		return 2
	case component == controlplane.Tags:
		return 3
	case strings.HasPrefix(component, controlplane.RevisionPrefix):
		return 4
	case component == controlplane.Base, component == controlplane.Reader, component == readerTokensComponent:
		return 5
	case component == trustComponent:
		return 6
	case component == claimComponent:
		return 7
	}
	return 4
}
