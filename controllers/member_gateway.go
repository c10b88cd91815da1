package controllers

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gateway"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan"
)

const (
	gatewayDeadline = 5 * time.Minute
	// settle is how long a new gateway is announced before the old one is withdrawn: istiod of peers knows it at once,
	// their proxies a moment later.
	settle = 5 * time.Second
)

// gateway runs the east-west gateway of the ordered revision and announces it once it has an address and its pods
// serve; then it replaces those of other revisions. Precondition: serve and rootInForce, because its pods get their
// proxy from the injector and mount the root that istiod has published: with the root of an earlier mesh they would
// wait a minute or more for kubelet to refresh it.
func (r *MeshMemberReconciler) gateway(ctx context.Context, s *scope) phase.Result {
	spec := &s.member.Spec
	if err := r.apply(ctx, s, gateway.ListenerObjects(s.namespace())); err != nil {
		return failed(err)
	}
	st, err := gateway.Observe(ctx, s.remote, s.namespace(), spec.GatewayRevision)
	if err != nil {
		return failed(err)
	}
	announce := st.CanAnnounce()
	component, err := gateway.Objects(r.Charts, spec, spec.GatewayRevision, announce)
	if err != nil {
		return renderFailed(err)
	}
	if err := r.apply(ctx, s, component); err != nil {
		return failed(err)
	}
	g := &s.member.Status.Gateway
	switch {
	case !announce && g.Revision != "" && g.Revision != spec.GatewayRevision:
		// Until the new gateway serves, the former one is the member's gateway.
	case announce && (g.Announced == nil || g.Revision != spec.GatewayRevision):
		*g = meshv1alpha1.GatewayStatus{Revision: spec.GatewayRevision, Address: st.Address, Announced: &metav1.Time{Time: s.now.Truncate(time.Second)}}
	case announce:
		g.Address = st.Address
	default:
		*g = meshv1alpha1.GatewayStatus{Revision: spec.GatewayRevision, Address: st.Address}
	}
	overdue := func(p phase.Result) phase.Result {
		return p.Overdue(st.ServiceCreated, s.now, gatewayDeadline, meshv1alpha1.ReasonDeadlineExceeded)
	}
	switch {
	case st.Address == "":
		return overdue(phase.Waiting(meshv1alpha1.ReasonWaitingForAddress, "Service "+plan.GatewayName(spec.GatewayRevision)+
			" has no load balancer address yet; "+st.Message, shortWait))
	case !st.Complete:
		return overdue(phase.Waiting(meshv1alpha1.ReasonWaitingForGateway, st.Message, shortWait))
	}
	if result := r.replaceGateways(ctx, s); result.Kind != phase.Done {
		return result
	}
	return phase.Complete(meshv1alpha1.ReasonReady, "the gateway serves at "+st.Address)
}

// gatewayRevisions lists the revisions that have a gateway in the member.
func (r *MeshMemberReconciler) gatewayRevisions(ctx context.Context, s *scope) ([]string, error) {
	components, err := s.state.applier.Components(ctx)
	if err != nil {
		return nil, err
	}
	var revisions []string
	for _, c := range components {
		if revision, ok := strings.CutPrefix(c, gateway.Prefix); ok {
			revisions = append(revisions, revision)
		}
	}
	return revisions, nil
}

// replaceGateways removes the gateways of other revisions, in the order that loses no request: every peer knows the
// new one, then the old one is withdrawn, every peer has dropped it, it drains, and only then goes.
func (r *MeshMemberReconciler) replaceGateways(ctx context.Context, s *scope) phase.Result {
	revisions, err := r.gatewayRevisions(ctx, s)
	if err != nil {
		return failed(err)
	}
	for _, revision := range revisions {
		if revision == s.member.Spec.GatewayRevision {
			continue
		}
		if result := r.replaceGateway(ctx, s, revision); result.Kind != phase.Done {
			return result
		}
	}
	return phase.Result{}
}

func (r *MeshMemberReconciler) replaceGateway(ctx context.Context, s *scope, revision string) phase.Result {
	waiting := func(format string, args ...any) phase.Result {
		return phase.Waiting(meshv1alpha1.ReasonProgressing, "replacing gateway "+plan.GatewayName(revision)+": "+fmt.Sprintf(format, args...), shortWait)
	}
	old, err := gateway.Observe(ctx, s.remote, s.namespace(), revision)
	if err != nil {
		return failed(err)
	}
	siblings, err := r.reachableSiblings(ctx, s)
	if err != nil {
		return failed(err)
	}
	if old.Announced {
		announced := s.member.Status.Gateway.Announced
		if announced == nil || s.now.Sub(announced.Time) < settle {
			return waiting("the new one has just been announced")
		}
		if behind := knowing(siblings, s.member, s.member.Status.Gateway.Address, false); len(behind) > 0 {
			return waiting("peers that do not know the new one yet: %s", list(behind, len(behind)))
		}
	}
	key := client.ObjectKey{Namespace: s.namespace(), Name: plan.GatewayName(revision)}
	at, err := gateway.Withdraw(ctx, s.remote, key, s.owner(), s.now)
	if err != nil {
		return failed(err)
	}
	if !at.IsZero() {
		if left := drain - s.now.Sub(at); left > 0 {
			return waiting("it drains")
		}
		if still := knowing(siblings, s.member, old.Address, true); len(still) > 0 && s.now.Sub(at) < forgetDeadline {
			return waiting("peers that still know it: %s", list(still, len(still)))
		}
	}
	gone, err := s.state.applier.Delete(ctx, gateway.Prefix+revision)
	if err != nil {
		return failed(err)
	}
	if !gone {
		return waiting("its pods stop")
	}
	return phase.Result{}
}

// reachableSiblings are the other members of the mesh that can be asked what they know.
func (r *MeshMemberReconciler) reachableSiblings(ctx context.Context, s *scope) ([]meshv1alpha1.MeshMember, error) {
	members, err := r.siblingMembers(ctx, s)
	return slices.DeleteFunc(members, func(m meshv1alpha1.MeshMember) bool {
		return len(m.Status.Discovery.Peers) == 0 || !meta.IsStatusConditionTrue(m.Status.Conditions, meshv1alpha1.ConditionReachable)
	}), err
}

// knowing lists the siblings whose istiod knows an address of the member's gateway, or with want false those whose does
// not. A host name cannot be compared, because istiod resolves it: it counts as known, and as dropped.
func knowing(siblings []meshv1alpha1.MeshMember, m *meshv1alpha1.MeshMember, address string, want bool) []string {
	if _, err := netip.ParseAddr(address); err != nil {
		return nil
	}
	var out []string
	for i := range siblings {
		if slices.Contains(siblings[i].Status.Discovery.Gateways, m.Spec.Network+"/"+address) == want {
			out = append(out, siblings[i].Spec.Cluster)
		}
	}
	return out
}
