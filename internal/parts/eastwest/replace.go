package eastwest

import (
	"context"
	"fmt"
	"net/netip"
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
func replaceGateways(ctx context.Context, pass *member.Pass, memory *memory) phase.Result {
	keys, err := gateways(ctx, pass)
	if err != nil {
		return outcome.Failed(err)
	}
	wanted := mesh.GatewayKey(&pass.Object.Spec, pass.Object.Spec.GatewayRevision)
	for _, key := range keys {
		if key == wanted {
			continue
		}
		if result := replaceGateway(ctx, pass, memory, key); result.Kind != phase.Done {
			return result
		}
	}
	return phase.Result{}
}

func replaceGateway(ctx context.Context, pass *member.Pass, memory *memory, oldKey string) phase.Result {
	name := mesh.GatewayName(oldKey)
	waiting := func(format string, args ...any) phase.Result {
		return phase.Waiting(meshv1alpha1.ReasonProgressing, "replacing gateway "+name+": "+fmt.Sprintf(format, args...), outcome.ShortWait)
	}
	old, err := Observe(ctx, pass.Remote, pass.Namespace(), name)
	if err != nil {
		return outcome.Failed(err)
	}
	siblings, err := reachableSiblings(ctx, pass)
	if err != nil {
		return outcome.Failed(err)
	}
	if old.Announced {
		if why := beforeWithdrawal(pass.Object, siblings, pass.Now); why != "" {
			return waiting("%s", why)
		}
	}
	key := client.ObjectKey{Namespace: pass.Namespace(), Name: name}
	at, err := Withdraw(ctx, pass.Remote, key, pass.Owner(), pass.Now)
	if err != nil {
		return outcome.Failed(err)
	}
	memory.step = stepWithdrawn
	if !at.IsZero() {
		if left := drainTime - pass.Now.Sub(at); left > 0 {
			return waiting("it drains")
		}
		if still := stillUsing(siblings, pass.Object, without(old.Addresses, pass.Object.Status.Gateway.Addresses)); len(still) > 0 && pass.Now.Sub(at) < ForgetDeadline {
			return waiting("peers whose istiod or proxies still use it: %s", mesh.List(still, len(still)))
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

// beforeWithdrawal is why an announced gateway is not withdrawn yet. Empty: it may be.
func beforeWithdrawal(m *meshv1alpha1.MeshMember, siblings []meshv1alpha1.MeshMember, now time.Time) string {
	announced := m.Status.Gateway.Announced
	if announced == nil || now.Sub(announced.Time) < announceTime {
		return "the new one has just been announced"
	}
	behind := withoutNews(siblings, m, m.Status.Gateway.Addresses)
	// Rollback ends, as forgetting does: a sibling that is stuck for a reason of its own reports nothing new.
	if len(behind) == 0 || mesh.IsRollingBack(m) && now.Sub(announced.Time) >= ForgetDeadline {
		return ""
	}
	return "peers whose istiod or proxies do not know the new one yet: " + mesh.List(behind, len(behind))
}

// reachableSiblings are the other members of the mesh that can be asked what they know.
func reachableSiblings(ctx context.Context, pass *member.Pass) ([]meshv1alpha1.MeshMember, error) {
	members, err := pass.Siblings(ctx)
	return slices.DeleteFunc(members, func(m meshv1alpha1.MeshMember) bool {
		return len(m.Status.Discovery.Peers) == 0 || !meta.IsStatusConditionTrue(m.Status.Conditions, meshv1alpha1.ConditionReachable)
	}), err
}

// withoutNews lists the siblings in which not every istiod knows all addresses of the member's gateway, or not every proxy has
// acknowledged them. A host name cannot be compared, because istiod resolves it: it counts as known.
func withoutNews(siblings []meshv1alpha1.MeshMember, m *meshv1alpha1.MeshMember, addresses []string) []string {
	return where(siblings, m, addresses, func(isKnown, isAcknowledged bool) bool { return !isKnown || !isAcknowledged })
}

// without are the addresses that are not among others.
func without(addresses, others []string) []string {
	return slices.DeleteFunc(slices.Clone(addresses), func(a string) bool { return slices.Contains(others, a) })
}

// stillUsing lists the siblings whose istiod knows one of the addresses of the member's gateway, or whose proxies have not all
// acknowledged that they are gone. A host name counts as dropped.
func stillUsing(siblings []meshv1alpha1.MeshMember, m *meshv1alpha1.MeshMember, addresses []string) []string {
	return where(siblings, m, addresses, func(isKnown, isAcknowledged bool) bool { return isKnown || isAcknowledged })
}

// where lists the siblings in which one of the addresses matches.
func where(siblings []meshv1alpha1.MeshMember, m *meshv1alpha1.MeshMember, addresses []string, match func(isKnown, isAcknowledged bool) bool) []string {
	var out []string
	for i := range siblings {
		d := &siblings[i].Status.Discovery
		if slices.ContainsFunc(addresses, func(address string) bool {
			if _, err := netip.ParseAddr(address); err != nil {
				return false
			}
			gateway := meshv1alpha1.NetworkGateway{Network: m.Spec.Network, Address: address}
			return match(slices.Contains(d.IstiodGateways, gateway), slices.Contains(d.ProxyGateways, gateway))
		}) {
			out = append(out, siblings[i].Spec.Cluster)
		}
	}
	return out
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
