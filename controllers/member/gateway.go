package member

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
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/parts/eastwest"
	"github.com/meshfleet/meshfleet/internal/phase"
)

const (
	gatewayDeadline = 5 * time.Minute
	// settle is how long a new gateway is announced at least before the old one is withdrawn. Peers that cannot be reached
	// from the hub do not say how far they are.
	settle = 5 * time.Second
	// connect is how long a gateway must have served before it may take over from another one: load balancers and
	// kube-proxy learn of its pods a moment after they are ready, and refuse connections until then.
	connect = 3 * time.Second
)

// The last two steps of the replacement of a gateway, as StageProgress counts them.
const (
	stepWithdrawn int32 = 4
	stepReplaced  int32 = 5
)

// gatewayStep counts the first steps: each needs those before it.
func gatewayStep(done ...bool) (n int32) {
	for _, isDone := range done {
		if !isDone {
			return n
		}
		n++
	}
	return n
}

// serveClock remembers since when a gateway has been seen to serve. Losing it means to wait once more.
type serveClock struct {
	name string
	at   time.Time
}

// since notes what is seen now, and says for how long the gateway has served.
func (v *serveClock) since(name string, serves bool, now time.Time) time.Duration {
	switch {
	case !serves:
		*v = serveClock{}
		return 0
	case v.name != name:
		*v = serveClock{name: name, at: now}
	}
	return now.Sub(v.at)
}

// warmUp is how long a gateway must serve before peers are told of it. The first one takes nothing over.
func warmUp(s *scope, name string) time.Duration {
	if g := &s.member.Status.Gateway; g.Announced == nil || g.Name == name {
		return 0
	}
	return connect
}

// gateway runs the east-west gateway of the ordered revision and announces it once it has an address and its pods
// serve; then it replaces those of other revisions. Precondition: serve and rootInForce, because its pods get their
// proxy from the injector and mount the root that istiod has published: with the root of an earlier mesh they would
// wait a minute or more for kubelet to refresh it.
func (r *Reconciler) gateway(ctx context.Context, s *scope) phase.Result {
	spec := &s.member.Spec
	if err := r.apply(ctx, s, eastwest.ListenerObjects(s.namespace())); err != nil {
		return outcome.Failed(err)
	}
	name := mesh.GatewayName(mesh.GatewayKey(spec, spec.GatewayRevision))
	st, err := eastwest.Observe(ctx, s.remote, s.namespace(), name)
	if err != nil {
		return outcome.Failed(err)
	}
	announce := st.CanAnnounce(s.state.serving.since(name, st.IsServing(), s.now), warmUp(s, name))
	component, err := eastwest.Objects(r.Charts, spec, spec.GatewayRevision, announce)
	if err != nil {
		return renderFailed(err)
	}
	if err := r.apply(ctx, s, component); err != nil {
		return outcome.Failed(err)
	}
	raised, err := st.Raise(ctx, s.remote, client.ObjectKey{Namespace: s.namespace(), Name: name}, eastwest.LeastGateways(spec))
	if err != nil {
		return outcome.Failed(err)
	}
	st.Complete = st.Complete && !raised
	reportGateway(s, name, st, announce)
	since := st.ServiceCreated
	if ordered := s.member.Status.Rollout; ordered != nil && ordered.Since.After(since) {
		since = ordered.Since.Time
	}
	overdue := func(p phase.Result) phase.Result {
		return p.Overdue(since, s.now, gatewayDeadline, meshv1alpha1.ReasonDeadlineExceeded)
	}
	s.gatewayStep = gatewayStep(st.Address != "", st.Complete && st.Revision == spec.GatewayRevision, announce)
	switch {
	case st.Address == "":
		return overdue(phase.Waiting(meshv1alpha1.ReasonWaitingForAddress, "Service "+name+
			" has no load balancer address yet; "+st.Message, outcome.ShortWait))
	case st.Revision != spec.GatewayRevision:
		return overdue(phase.Waiting(meshv1alpha1.ReasonWaitingForGateway, "the pods of "+name+" are to be replaced by those of "+
			spec.GatewayRevision, outcome.ShortWait))
	case !st.Complete:
		return overdue(phase.Waiting(meshv1alpha1.ReasonWaitingForGateway, st.Message, outcome.ShortWait))
	case !announce:
		return phase.Waiting(meshv1alpha1.ReasonWaitingForGateway, "the pods of "+name+" have just begun to serve", outcome.ShortWait)
	}
	if result := r.replaceGateways(ctx, s); result.Kind != phase.Done {
		return result
	}
	s.gatewayStep = stepReplaced
	return phase.Complete(meshv1alpha1.ReasonReady, "the gateway serves at "+st.Address)
}

// reportGateway says where the member's gateway is. Until a new one serves, the former one is.
func reportGateway(s *scope, name string, st eastwest.State, announce bool) {
	revision, g := s.member.Spec.GatewayRevision, &s.member.Status.Gateway
	isAnother := g.Revision != "" && g.Name != name
	if g.Name == "" {
		// It was reported before names were.
		isAnother = g.Revision != "" && mesh.GatewayName(g.Revision) != name
	}
	switch {
	case !announce && isAnother:
	case announce && (g.Announced == nil || isAnother):
		*g = meshv1alpha1.GatewayStatus{
			Name: name, Revision: revision, Address: st.Address, Announced: &metav1.Time{Time: s.now.Truncate(time.Second)},
		}
	case announce:
		g.Name, g.Address = name, st.Address
		if st.Revision == revision && st.Complete {
			g.Revision = revision
		}
	default:
		*g = meshv1alpha1.GatewayStatus{Name: name, Revision: revision, Address: st.Address}
	}
}

// gateways lists the keys of the gateways that the member has.
func (r *Reconciler) gateways(ctx context.Context, s *scope) ([]string, error) {
	components, err := s.state.applier.Components(ctx)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, c := range components {
		if key, ok := strings.CutPrefix(c, eastwest.Prefix); ok {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// replaceGateways removes all other gateways, in the order that loses no request: every peer's istiod knows the new one
// and their proxies have acknowledged it, then the old one is withdrawn, drains until all of these have dropped it, and
// only then goes.
func (r *Reconciler) replaceGateways(ctx context.Context, s *scope) phase.Result {
	keys, err := r.gateways(ctx, s)
	if err != nil {
		return outcome.Failed(err)
	}
	wanted := mesh.GatewayKey(&s.member.Spec, s.member.Spec.GatewayRevision)
	for _, key := range keys {
		if key == wanted {
			continue
		}
		if result := r.replaceGateway(ctx, s, key); result.Kind != phase.Done {
			return result
		}
	}
	return phase.Result{}
}

func (r *Reconciler) replaceGateway(ctx context.Context, s *scope, oldKey string) phase.Result {
	name := mesh.GatewayName(oldKey)
	waiting := func(format string, args ...any) phase.Result {
		return phase.Waiting(meshv1alpha1.ReasonProgressing, "replacing gateway "+name+": "+fmt.Sprintf(format, args...), outcome.ShortWait)
	}
	old, err := eastwest.Observe(ctx, s.remote, s.namespace(), name)
	if err != nil {
		return outcome.Failed(err)
	}
	siblings, err := r.reachableSiblings(ctx, s)
	if err != nil {
		return outcome.Failed(err)
	}
	if old.Announced {
		if why := beforeWithdrawal(s.member, siblings, s.now); why != "" {
			return waiting("%s", why)
		}
	}
	key := client.ObjectKey{Namespace: s.namespace(), Name: name}
	at, err := eastwest.Withdraw(ctx, s.remote, key, s.owner(), s.now)
	if err != nil {
		return outcome.Failed(err)
	}
	s.gatewayStep = stepWithdrawn
	if !at.IsZero() {
		if left := drain - s.now.Sub(at); left > 0 {
			return waiting("it drains")
		}
		isMoved := old.Address != s.member.Status.Gateway.Address
		if still := stillUsing(siblings, s.member, old.Address); isMoved && len(still) > 0 && s.now.Sub(at) < forgetDeadline {
			return waiting("peers whose istiod or proxies still use it: %s", mesh.List(still, len(still)))
		}
	}
	gone, err := s.state.applier.Delete(ctx, eastwest.Prefix+oldKey)
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
	if announced == nil || now.Sub(announced.Time) < settle {
		return "the new one has just been announced"
	}
	behind := withoutNews(siblings, m, m.Status.Gateway.Address)
	// Rollback ends, as forgetting does: a sibling that is stuck for a reason of its own reports nothing new.
	if len(behind) == 0 || isGoingBack(m) && now.Sub(announced.Time) >= forgetDeadline {
		return ""
	}
	return "peers whose istiod or proxies do not know the new one yet: " + mesh.List(behind, len(behind))
}

// reachableSiblings are the other members of the mesh that can be asked what they know.
func (r *Reconciler) reachableSiblings(ctx context.Context, s *scope) ([]meshv1alpha1.MeshMember, error) {
	members, err := r.siblingMembers(ctx, s)
	return slices.DeleteFunc(members, func(m meshv1alpha1.MeshMember) bool {
		return len(m.Status.Discovery.Peers) == 0 || !meta.IsStatusConditionTrue(m.Status.Conditions, meshv1alpha1.ConditionReachable)
	}), err
}

// withoutNews lists the siblings in which not every istiod knows an address of the member's gateway, or not every proxy
// has acknowledged it. A host name cannot be compared, because istiod resolves it: it counts as known.
func withoutNews(siblings []meshv1alpha1.MeshMember, m *meshv1alpha1.MeshMember, address string) []string {
	return where(siblings, m, address, func(isKnown, isAcknowledged bool) bool { return !isKnown || !isAcknowledged })
}

// stillUsing lists the siblings whose istiod knows an address of the member's gateway, or whose proxies have not all
// acknowledged that it is gone. A host name counts as dropped.
func stillUsing(siblings []meshv1alpha1.MeshMember, m *meshv1alpha1.MeshMember, address string) []string {
	return where(siblings, m, address, func(isKnown, isAcknowledged bool) bool { return isKnown || isAcknowledged })
}

func where(siblings []meshv1alpha1.MeshMember, m *meshv1alpha1.MeshMember, address string, match func(isKnown, isAcknowledged bool) bool) []string {
	if _, err := netip.ParseAddr(address); err != nil {
		return nil
	}
	var out []string
	gateway := m.Spec.Network + "/" + address
	for i := range siblings {
		d := &siblings[i].Status.Discovery
		if match(slices.Contains(d.Gateways, gateway), slices.Contains(d.AcknowledgedGateways, gateway)) {
			out = append(out, siblings[i].Spec.Cluster)
		}
	}
	return out
}
