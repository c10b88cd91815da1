package eastwest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
)

const (
	// ForgetDeadline bounds the wait for peers to drop what a member withdraws: a gateway, or itself when it leaves.
	ForgetDeadline = 2 * time.Minute
	// drainTime is how long a gateway keeps serving after peers were told that it goes: longer than istiod takes to push
	// and proxies take to finish what is under way.
	drainTime = 10 * time.Second
)

// gateways lists the keys of the gateways that the member has.
func gateways(ctx context.Context, pass *member.Pass) ([]string, error) {
	components, err := pass.Applier().Components(ctx)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, c := range components {
		if key, ok := strings.CutPrefix(c, Prefix); ok {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// replaceGateways removes all other gateways, in the order that loses no request: every peer's istiod knows the new one
// and their proxies have acknowledged it, then the old one is withdrawn, drains until all of these have dropped it, and
// only then goes.
func (s *Steps) replaceGateways(ctx context.Context, pass *member.Pass, memory *memory) phase.Result {
	keys, err := gateways(ctx, pass)
	if err != nil {
		return outcome.Failed(err)
	}
	wanted := mesh.GatewayKey(&pass.Object.Spec, pass.Object.Spec.GatewayRevision)
	for _, key := range keys {
		if key == wanted {
			continue
		}
		if result := s.replaceGateway(ctx, pass, memory, key); result.Kind != phase.Done {
			return result
		}
	}
	pass.Object.Status.Gateway.Takeover = nil
	return phase.Result{}
}

func (s *Steps) replaceGateway(ctx context.Context, pass *member.Pass, memory *memory, oldKey string) phase.Result {
	name := mesh.GatewayName(oldKey)
	waiting := func(why string) phase.Result {
		return phase.Waiting(meshv1alpha1.ReasonProgressing, "replacing gateway "+name+": "+why, outcome.ShortWait)
	}
	old, err := Observe(ctx, pass.Remote, pass.Namespace(), name)
	if err != nil {
		return outcome.Failed(err)
	}
	siblings, err := reachableSiblings(ctx, pass)
	if err != nil {
		return outcome.Failed(err)
	}
	gateways, err := s.succession(ctx, pass, memory, old.Addresses)
	if err != nil {
		return outcome.RenderFailed(err)
	}
	if old.Announced {
		if why := beforeWithdrawal(pass.Object, siblings, gateways, pass.Now); why != "" {
			return waiting(why)
		}
	}
	key := client.ObjectKey{Namespace: pass.Namespace(), Name: name}
	at, err := Withdraw(ctx, pass.Remote, key, pass.Owner(), pass.Now)
	if err != nil {
		return outcome.Failed(err)
	}
	memory.step = stepWithdrawn
	if !at.IsZero() {
		if why := beforeRemoval(siblings, gateways, pass.Now.Sub(at)); why != "" {
			return waiting(why)
		}
	}
	gone, err := pass.Applier().Delete(ctx, Prefix+oldKey)
	if err != nil {
		return outcome.Failed(err)
	}
	if !gone {
		return waiting("its pods stop")
	}
	return phase.Result{}
}

// succession is what tells the gateway with the given addresses from the one that replaces it.
func (s *Steps) succession(ctx context.Context, pass *member.Pass, memory *memory, former []string) (*succession, error) {
	g := &pass.Object.Status.Gateway
	fixed, err := fixedAddresses(&pass.Object.Spec)
	if err != nil {
		return nil, err
	}
	ips := s.resolved(ctx, memory, slices.Concat(former, g.Addresses, fixed), pass.Now)
	return &succession{
		network: pass.Object.Spec.Network, before: g.Takeover,
		former: resolve(former, ips), successor: resolve(g.Addresses, ips), fixed: resolve(fixed, ips).ips,
	}, nil
}

// beforeWithdrawal is why an announced gateway is not withdrawn yet. Empty: it may be.
func beforeWithdrawal(m *meshv1alpha1.MeshMember, siblings []meshv1alpha1.MeshMember, gateways *succession, now time.Time) string {
	announced := m.Status.Gateway.Announced
	if announced == nil || now.Sub(announced.Time) < announceTime {
		return "the new one has just been announced"
	}
	since := now.Sub(announced.Time)
	if why := gateways.indistinct(); why != "" && len(siblings) > 0 {
		if since >= ForgetDeadline {
			return ""
		}
		return fmt.Sprintf("%s, so that peers cannot show that they use the new one: the old one is withdrawn %s after the new one was announced", why, ForgetDeadline)
	}
	behind := gateways.unaware(siblings)
	// Rollback ends, as forgetting does: a sibling that is stuck for a reason of its own reports nothing new.
	if len(behind) == 0 || mesh.IsRollingBack(m) && since >= ForgetDeadline {
		return ""
	}
	return "peers whose istiod or proxies do not know the new one yet: " + mesh.List(behind, len(behind)) + gateways.evidence()
}

// beforeRemoval is why a gateway that was withdrawn so long ago is not removed yet. Empty: it may be.
func beforeRemoval(siblings []meshv1alpha1.MeshMember, gateways *succession, withdrawn time.Duration) string {
	switch {
	case withdrawn < drainTime:
		return "it drains"
	case withdrawn >= ForgetDeadline || len(siblings) == 0:
		return ""
	case gateways.cannotShowLoss():
		return fmt.Sprintf("the hub cannot resolve %s, so that peers cannot show that they have dropped it: it is removed %s after it was withdrawn",
			mesh.Capped(gateways.former.unresolved), ForgetDeadline)
	}
	if still := gateways.users(siblings); len(still) > 0 {
		return "peers whose istiod or proxies still use it: " + mesh.List(still, len(still))
	}
	return ""
}

// reachableSiblings are the other members of the mesh that can be asked what they know.
func reachableSiblings(ctx context.Context, pass *member.Pass) ([]meshv1alpha1.MeshMember, error) {
	members, err := pass.Siblings(ctx)
	var out []meshv1alpha1.MeshMember
	for i := range members {
		m := &members[i]
		if len(m.Status.Discovery.Peers) > 0 && meta.IsStatusConditionTrue(m.Status.Conditions, meshv1alpha1.ConditionReachable) {
			out = append(out, *m)
		}
	}
	return out, err
}

// without are the addresses that are not among others.
func without(addresses, others []string) []string {
	return slices.DeleteFunc(slices.Clone(addresses), func(a string) bool { return slices.Contains(others, a) })
}

// WithdrawAll takes the network label off every gateway and lets them drain, if anybody was told of them.
func WithdrawAll(ctx context.Context, pass *member.Pass) phase.Result {
	gateways, err := gateways(ctx, pass)
	if err != nil {
		return outcome.Failed(err)
	}
	for _, g := range gateways {
		key := client.ObjectKey{Namespace: pass.Namespace(), Name: mesh.GatewayName(g)}
		at, err := Withdraw(ctx, pass.Remote, key, pass.Owner(), pass.Now)
		if err != nil {
			return outcome.Failed(err)
		}
		if left := drainTime - pass.Now.Sub(at); !at.IsZero() && left > 0 {
			return phase.Waiting(meshv1alpha1.ReasonDeleting, "the gateway "+key.Name+" drains", left)
		}
	}
	return phase.Result{}
}
