package eastwest

import (
	"context"
	"errors"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/rendering"
)

const (
	// gatewayDeadline bounds the wait for an address and for pods.
	gatewayDeadline = 5 * time.Minute
	// announceTime is how long a new gateway is announced at least before the old one is withdrawn. Peers that cannot be reached
	// from the hub do not say how far they are.
	announceTime = 5 * time.Second
	// minServeTime is how long a gateway must have served before it may take over from another one: load balancers and
	// kube-proxy learn of its pods a moment after they are ready, and refuse connections until then.
	minServeTime = 3 * time.Second
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

// servingSince remembers since when a gateway has been seen to serve. Losing it means to wait once more.
type servingSince struct {
	name string
	at   time.Time
}

// since notes what is seen now, and says for how long the gateway has served.
func (v *servingSince) since(name string, serves bool, now time.Time) time.Duration {
	switch {
	case !serves:
		*v = servingSince{}
		return 0
	case v.name != name:
		*v = servingSince{name: name, at: now}
	}
	return now.Sub(v.at)
}

// warmUp is how long a gateway must serve before peers are told of it. The first one takes nothing over.
func warmUp(pass *member.Pass, name string) time.Duration {
	if g := &pass.Object.Status.Gateway; g.Announced == nil || g.Name == name {
		return 0
	}
	return minServeTime
}

// Steps of a member's east-west gateway.
type Steps struct {
	// Charts renders Istio's charts.
	Charts charts.Renderer
	// Resolve looks up the IP addresses of a host name.
	Resolve func(ctx context.Context, host string) ([]string, error)
	// Renderings has what charts made of gateways that are installed.
	Renderings rendering.Store
	// Istiod asks istiod pods whether Envoy accepts what they send to the gateway.
	Istiod member.Istiod

	memory member.Memory[memory]
}

// memory is what is remembered of a member's gateway between passes.
type memory struct {
	serving servingSince
	// step is how far the replacement of the gateway is in this pass, see StageProgress.
	step int32
	// lookups are the host names of gateways that replace each other.
	lookups map[string]lookup
	// accepted is what was last seen of the gateway's listeners.
	accepted acceptance
}

// Part is what the steps make: gateways and the listener that they share.
func (s *Steps) Part() member.Part {
	return member.Part{
		Name: "eastwest",
		Steps: []member.Step{
			{Name: "gateway", Condition: meshv1alpha1.ConditionGatewaysReady, Round: member.Connect, Run: s.gateway},
		},
		Components: []string{Listener, Prefix + "*"},
		Rendered:   s.rendered,
		Target: func(spec *meshv1alpha1.MeshMemberSpec) []string {
			if spec.GatewayRevision != spec.Rollout.To.Name {
				return nil
			}
			return []string{Prefix + mesh.GatewayKey(spec, spec.GatewayRevision)}
		},
		Kinds: []client.Object{
			&corev1.Service{}, &corev1.ServiceAccount{}, &appsv1.Deployment{}, &autoscalingv2.HorizontalPodAutoscaler{},
			&policyv1.PodDisruptionBudget{}, &rbacv1.Role{}, &rbacv1.RoleBinding{},
		},
		Rules: []rbacv1.PolicyRule{
			member.Rule("", member.Watch, "configmaps", "serviceaccounts", "services"),
			member.Rule("apps", member.Watch, "deployments"),
			member.Rule("autoscaling", member.Watch, "horizontalpodautoscalers"),
			member.Rule("policy", member.Watch, "poddisruptionbudgets"),
			member.Rule("rbac.authorization.k8s.io", member.Watch, "rolebindings", "roles"),
			member.Rule("networking.istio.io", member.Watch, "gateways"),
		},
		NamespaceRules: []rbacv1.PolicyRule{
			member.Rule("", member.Own, "configmaps", "serviceaccounts", "services"),
			member.Rule("apps", member.Own, "deployments"),
			member.Rule("autoscaling", member.Own, "horizontalpodautoscalers"),
			member.Rule("policy", member.Own, "poddisruptionbudgets"),
			member.Rule("rbac.authorization.k8s.io", member.Own, "rolebindings", "roles"),
			// The listener.
			member.Rule("networking.istio.io", member.Own, "gateways"),
		},
	}
}

// rendered is what a work order makes of charts. Of a gateway that cannot be rendered it has the names of the objects only.
func (s *Steps) rendered(ctx context.Context, pass *member.Pass, spec *meshv1alpha1.MeshMemberSpec) ([]apply.Component, error) {
	gateway, err := s.objects(ctx, pass, spec, true)
	if errors.Is(err, rendering.ErrInPlace) {
		var inventory *apply.Inventory
		if inventory, err = pass.Applier().Inventory(ctx, gateway.Name); err == nil {
			gateway = inventory.Present()
		}
	}
	if err != nil {
		return nil, err
	}
	listener, err := ListenerObjects(spec)
	return []apply.Component{gateway, listener}, err
}

// objects are those of the gateway, from the rendering that the member keeps.
func (s *Steps) objects(ctx context.Context, pass *member.Pass, spec *meshv1alpha1.MeshMemberSpec, announce bool) (apply.Component, error) {
	return component(spec, spec.GatewayRevision, announce, func(src rendering.Source) (*rendering.Kept, error) {
		return s.Renderings.Of(ctx, pass, src)
	}, s.Charts)
}

// gateway runs the east-west gateway of the ordered revision and announces it once it has an address and its pods
// serve; then it replaces those of other revisions. Precondition: serve and rootInForce, because its pods get their
// proxy from the injector and mount the root that istiod has published: with the root of an earlier mesh they would
// wait a minute or more for kubelet to refresh it.
func (s *Steps) gateway(ctx context.Context, pass *member.Pass) phase.Result {
	memory := s.memory.Of(pass)
	memory.step = 0
	result := s.run(ctx, pass, memory)
	result.Step = memory.step
	return result
}

func (s *Steps) run(ctx context.Context, pass *member.Pass, memory *memory) phase.Result {
	spec := &pass.Object.Spec
	listener, err := ListenerObjects(spec)
	if err != nil {
		return outcome.RenderFailed(err)
	}
	if err := pass.Apply(ctx, listener); err != nil {
		return outcome.Failed(err)
	}
	name := mesh.GatewayName(mesh.GatewayKey(spec, spec.GatewayRevision))
	st, err := Observe(ctx, pass.Remote, pass.Namespace(), name)
	if err != nil {
		return outcome.Failed(err)
	}
	announce := st.CanAnnounce(memory.serving.since(name, st.IsServing(), pass.Now), warmUp(pass, name))
	var takeover *meshv1alpha1.GatewayTakeover
	if announce && !st.Announced {
		// Before peers can know of it.
		peers, err := pass.Siblings(ctx)
		if err != nil {
			return outcome.Failed(err)
		}
		takeover = heldBefore(peers, spec.Network)
	}
	note, result := s.apply(ctx, pass, announce)
	if result.Kind != phase.Done {
		return result
	}
	raised, err := st.Raise(ctx, pass.Remote, client.ObjectKey{Namespace: pass.Namespace(), Name: name}, LeastGateways(spec))
	if err != nil {
		return outcome.Failed(err)
	}
	st.Complete = st.Complete && !raised
	reportGateway(pass, name, st, announce, takeover)
	since := st.ServiceCreated
	if ordered := pass.Object.Status.Rollout; ordered != nil && ordered.Since.After(since) {
		since = ordered.Since.Time
	}
	isThere := st.Complete && st.Revision == spec.GatewayRevision
	memory.step = gatewayStep(len(st.Addresses) > 0, isThere, announce)
	accepted := s.accepted(ctx, pass, memory, name, isThere)
	refusal := accepted.refusal(pass.Now)
	if result = awaited(name, st, spec.GatewayRevision); result.Kind != phase.Done {
		if result.Reason == meshv1alpha1.ReasonWaitingForGateway && refusal != nil {
			return *refusal
		}
		return result.Overdue(since, pass.Now, gatewayDeadline, meshv1alpha1.ReasonDeadlineExceeded)
	}
	if !announce {
		return phase.Waiting(meshv1alpha1.ReasonWaitingForGateway, "the pods of "+name+" have just begun to serve", outcome.ShortWait)
	}
	// Rollback goes on: a gateway of the revision that has failed is no better.
	if refusal != nil && !mesh.IsRollingBack(pass.Object) {
		return *refusal
	}
	if result = s.replaceGateways(ctx, pass, memory); result.Kind != phase.Done {
		return result
	}
	memory.step = stepReplaced
	result = phase.Complete(meshv1alpha1.ReasonReady, "the gateway serves at "+strings.Join(st.Addresses, ", ")+note+accepted.note())
	if refusal != nil {
		result.Message += "; " + refusal.Text()
	}
	result.After = max(accepted.pace()-pass.Now.Sub(accepted.at), outcome.ShortWait)
	return result
}

// awaited is what the gateway of a revision lacks to serve, or Done.
func awaited(name string, st State, revision string) phase.Result {
	switch {
	case len(st.Addresses) == 0:
		return phase.Waiting(meshv1alpha1.ReasonWaitingForAddress, "Service "+name+
			" has no load balancer address and no external IP yet; "+st.Message, outcome.ShortWait)
	case st.Revision != revision:
		return phase.Waiting(meshv1alpha1.ReasonWaitingForGateway, "the pods of "+name+" are to be replaced by those of "+revision, outcome.ShortWait)
	case !st.Complete:
		return phase.Waiting(meshv1alpha1.ReasonWaitingForGateway, st.Message, outcome.ShortWait)
	}
	return phase.Result{}
}

// apply applies the gateway. One that this operator cannot render stays as it is, and the note tells of it.
func (s *Steps) apply(ctx context.Context, pass *member.Pass, announce bool) (note string, result phase.Result) {
	c, err := s.objects(ctx, pass, &pass.Object.Spec, announce)
	if errors.Is(err, rendering.ErrInPlace) {
		return "; " + err.Error(), phase.Result{}
	}
	if err != nil {
		return "", outcome.RenderFailed(err)
	}
	if err := s.Renderings.Apply(ctx, pass, c); err != nil {
		return "", outcome.Failed(err)
	}
	return "", phase.Result{}
}

// reportGateway says where the member's gateway is. Until a new one serves, the former one is. Takeover is what peers held before the
// announcement, nil if that is not known.
func reportGateway(pass *member.Pass, name string, st State, announce bool, takeover *meshv1alpha1.GatewayTakeover) {
	revision, g := pass.Object.Spec.GatewayRevision, &pass.Object.Status.Gateway
	isAnother := g.Revision != "" && g.Name != name
	if g.Name == "" {
		// It was reported before names were.
		isAnother = g.Revision != "" && mesh.GatewayName(g.Revision) != name
	}
	switch {
	case !announce && isAnother:
	case announce && (g.Announced == nil || isAnother):
		*g = meshv1alpha1.GatewayStatus{
			Name: name, Revision: revision, Addresses: st.Addresses, Announced: &metav1.Time{Time: pass.Now.Truncate(time.Second)},
			Takeover: takeover,
		}
	case announce:
		g.Name, g.Addresses = name, st.Addresses
		if st.Revision == revision && st.Complete {
			g.Revision = revision
		}
	default:
		*g = meshv1alpha1.GatewayStatus{Name: name, Revision: revision, Addresses: st.Addresses}
	}
}
