package builtin

import (
	"errors"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/gate/gatetest"
	"github.com/meshfleet/meshfleet/internal/istio"
)

// moved is how long ago the tags have moved.
const moved = 5 * time.Minute

// condition is one of generation 1 that has been so for a while.
func condition(kind, status, reason string, since time.Duration) metav1.Condition {
	return metav1.Condition{
		Type: kind, Status: metav1.ConditionStatus(status), Reason: reason, ObservedGeneration: 1, LastTransitionTime: ago(since),
	}
}

// writtenBy is the mark of a write of an object, or only of its status.
func writtenBy(subresource string, since time.Duration) metav1.ManagedFieldsEntry {
	at := ago(since)
	return metav1.ManagedFieldsEntry{Manager: "x", Subresource: subresource, Time: &at}
}

// webGateway is a Gateway that is programmed.
func webGateway(change ...func(*apiGateway)) apiGateway {
	g := apiGateway{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "web", Generation: 1, CreationTimestamp: ago(day)}}
	g.Spec.GatewayClassName = "istio"
	g.Status.Conditions = []metav1.Condition{condition(programmed, "True", "Programmed", day)}
	for _, c := range change {
		c(&g)
	}
	return g
}

func notProgrammed(since time.Duration) func(*apiGateway) {
	return func(g *apiGateway) {
		g.Status.Conditions = []metav1.Condition{condition(programmed, "False", "AddressNotAssigned", since)}
	}
}

// webRoute is a route that is attached to the Gateway.
func webRoute(conditions ...metav1.Condition) httpRoute {
	r := httpRoute{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "echo", Generation: 1, CreationTimestamp: ago(day)}}
	p := routeParent{ControllerName: "istio.io/gateway-controller", Conditions: conditions}
	p.ParentRef.Name = "web"
	r.Status.Parents = []routeParent{p}
	return r
}

// webDeployment is what istiod has made for the Gateway.
func webDeployment(status string, since time.Duration) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{
		Namespace: "demo", Name: "web-istio", CreationTimestamp: ago(day), Labels: map[string]string{istio.ManagedGatewayLabel: "x"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "gateway.networking.k8s.io/v1", Kind: "Gateway", Name: "web", UID: "1"}},
	}}
	d.Status.Conditions = []appsv1.DeploymentCondition{{
		Type: appsv1.DeploymentAvailable, Status: corev1.ConditionStatus(status), Reason: "MinimumReplicas", LastTransitionTime: ago(since),
	}}
	return d
}

func TestGatewaysProgrammed(t *testing.T) {
	good := []metav1.Condition{condition(accepted, "True", "Accepted", day), condition(resolvedRefs, "True", "ResolvedRefs", day)}
	denied := func(since time.Duration) metav1.Condition {
		return condition(accepted, "False", "NoMatchingParent", since)
	}
	const isOld, isNew = moved + time.Hour, time.Minute
	tests := map[string]struct {
		gateway    apiGateway
		deployment *appsv1.Deployment
		routes     []httpRoute
		want       meshv1alpha1.Verdict
		words      string
	}{
		"everything is as it was": {
			gateway: webGateway(), deployment: webDeployment("True", day), routes: []httpRoute{webRoute(good...)},
			want: meshv1alpha1.VerdictPass, words: "1 Gateway programmed, 1 HTTPRoute accepted",
		},
		"a workload of the users' is their matter": {
			gateway: webGateway(), want: meshv1alpha1.VerdictPass, words: "1 Gateway programmed",
		},
		"one that was not programmed before is mentioned": {
			gateway: webGateway(notProgrammed(isOld)), deployment: webDeployment("False", isOld), routes: []httpRoute{webRoute(denied(isNew))},
			want: meshv1alpha1.VerdictPass, words: "not when the tags moved either: Gateway demo/web: Programmed is False, AddressNotAssigned",
		},
		"one that was never kept is mentioned": {
			gateway: webGateway(func(g *apiGateway) {
				g.Status.Conditions = []metav1.Condition{{Type: programmed, Status: "Unknown", Reason: "Pending", LastTransitionTime: metav1.Unix(0, 0)}}
			}),
			want: meshv1alpha1.VerdictPass, words: "Gateway demo/web: Programmed is Unknown, Pending",
		},
		"one that was made since is mentioned": {
			gateway: webGateway(notProgrammed(isNew), func(g *apiGateway) { g.CreationTimestamp = ago(isNew) }),
			want:    meshv1alpha1.VerdictPass, words: "0 Gateways programmed",
		},
		"one that was made since has no status yet": {
			gateway: webGateway(func(g *apiGateway) { g.CreationTimestamp, g.Status.Conditions = ago(isNew), nil }),
			want:    meshv1alpha1.VerdictPass, words: "is new",
		},
		"one has no status": {
			gateway: webGateway(func(g *apiGateway) { g.Status.Conditions = nil }),
			want:    meshv1alpha1.VerdictInconclusive, words: "Gateway demo/web has no condition Programmed",
		},
		"one has just lost it": {
			gateway: webGateway(notProgrammed(10 * time.Second)), want: meshv1alpha1.VerdictPending, words: "AddressNotAssigned",
		},
		"one has lost it": {
			gateway: webGateway(notProgrammed(isNew)), want: meshv1alpha1.VerdictFail,
			words: "since the tags moved: Gateway demo/web: Programmed is False",
		},
		"one lost it at a moment by a clock that is behind": {
			gateway: webGateway(notProgrammed(moved + 3*time.Second)), want: meshv1alpha1.VerdictFail, words: "Programmed is False",
		},
		"one has lost it after its users changed it": {
			gateway: webGateway(notProgrammed(isNew), func(g *apiGateway) {
				g.ManagedFields = []metav1.ManagedFieldsEntry{writtenBy("", isNew)}
			}),
			want: meshv1alpha1.VerdictInconclusive, words: "it was changed since the tags moved",
		},
		"one has lost it, and istiod has only written its status": {
			gateway: webGateway(notProgrammed(isNew), func(g *apiGateway) {
				g.ManagedFields = []metav1.ManagedFieldsEntry{writtenBy("status", isNew), writtenBy("", day)}
			}),
			want: meshv1alpha1.VerdictFail, words: "Programmed is False",
		},
		"istiod has not seen a change yet": {
			gateway: webGateway(func(g *apiGateway) {
				g.Generation, g.ManagedFields = 2, []metav1.ManagedFieldsEntry{writtenBy("", 3*time.Second)}
			}),
			want: meshv1alpha1.VerdictPending, words: "istiod has not seen its change yet",
		},
		"istiod does not look at it any more": {
			gateway: webGateway(func(g *apiGateway) {
				g.Generation, g.ManagedFields = 2, []metav1.ManagedFieldsEntry{writtenBy("", isNew)}
			}),
			want: meshv1alpha1.VerdictInconclusive, words: "istiod has seen its generation 1, it is at 2",
		},
		"its pods do not serve for a moment": {
			gateway: webGateway(), deployment: webDeployment("False", 10*time.Second), want: meshv1alpha1.VerdictPending, words: "web-istio is not available",
		},
		"its pods do not serve any more": {
			gateway: webGateway(), deployment: webDeployment("False", isNew), want: meshv1alpha1.VerdictFail, words: "web-istio is not available",
		},
		"its pods did not serve before": {
			gateway: webGateway(), deployment: webDeployment("False", isOld), want: meshv1alpha1.VerdictPass, words: "web-istio is not available",
		},
		"it is unknown whether its pods serve": {
			gateway: webGateway(), deployment: &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web-istio"}},
			want: meshv1alpha1.VerdictInconclusive, words: "unknown whether",
		},
		"its Deployment has just been changed": {
			gateway: webGateway(), deployment: &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Generation: 2}},
			want: meshv1alpha1.VerdictPending, words: "has just been changed",
		},
		"a route is lost": {
			gateway: webGateway(), routes: []httpRoute{webRoute(denied(isNew), good[1])}, want: meshv1alpha1.VerdictFail,
			words: "HTTPRoute demo/echo at Gateway demo/web: Accepted is False, NoMatchingParent",
		},
		"a route's reference is refused": {
			gateway: webGateway(), routes: []httpRoute{webRoute(good[0], condition(resolvedRefs, "False", "RefNotPermitted", isNew))},
			want: meshv1alpha1.VerdictFail, words: "ResolvedRefs is False, RefNotPermitted",
		},
		"a route is away for a moment": {
			gateway: webGateway(), routes: []httpRoute{webRoute(denied(10*time.Second), good[1])}, want: meshv1alpha1.VerdictPending, words: "demo/echo",
		},
		"a route was never accepted": {
			gateway: webGateway(), routes: []httpRoute{webRoute(denied(isOld))}, want: meshv1alpha1.VerdictPass, words: "0 HTTPRoutes accepted",
		},
		"what a route leads to was deleted": {
			gateway: webGateway(), routes: []httpRoute{webRoute(good[0], condition(resolvedRefs, "False", backendGone, isNew))},
			want: meshv1alpha1.VerdictPass, words: "1 HTTPRoute accepted",
		},
		"a route was changed": {
			gateway: webGateway(), routes: []httpRoute{func() httpRoute {
				r := webRoute(denied(isNew))
				r.ManagedFields = []metav1.ManagedFieldsEntry{writtenBy("", isNew)}
				return r
			}()},
			want: meshv1alpha1.VerdictInconclusive, words: "it was changed since",
		},
		"a route of another controller is not looked at": {
			gateway: webGateway(), routes: []httpRoute{func() httpRoute {
				r := webRoute(denied(isNew))
				r.Status.Parents[0].ControllerName = "example.com/gateways"
				return r
			}()},
			want: meshv1alpha1.VerdictPass, words: "0 HTTPRoutes",
		},
		"a route of a Service is not looked at": {
			gateway: webGateway(), routes: []httpRoute{func() httpRoute {
				r, service, core := webRoute(denied(isNew)), "Service", ""
				r.Status.Parents[0].ParentRef.Kind, r.Status.Parents[0].ParentRef.Group = &service, &core
				return r
			}()},
			want: meshv1alpha1.VerdictPass, words: "0 HTTPRoutes",
		},
		"a route of another namespace counts": {
			gateway: webGateway(), routes: []httpRoute{func() httpRoute {
				r := webRoute(denied(isNew))
				r.Namespace, r.Status.Parents[0].ParentRef.Namespace = "shop", "demo"
				return r
			}()},
			want: meshv1alpha1.VerdictFail, words: "HTTPRoute shop/echo at Gateway demo/web",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := gatetest.Subject()
			m.MovedAt = now.Add(-moved)
			w := gatewayWorld{isThere: true, gateways: []apiGateway{tt.gateway}, routes: tt.routes, deployments: map[types.NamespacedName]*appsv1.Deployment{}}
			if tt.deployment != nil {
				w.deployments[types.NamespacedName{Namespace: "demo", Name: "web"}] = tt.deployment
			}
			gatetest.Check(t, judgeGateways(m, w), tt.want, tt.words)
		})
	}
}

// readyIstiod is an istiod of the new revision.
func readyIstiod() *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "istio-system", Name: "istiod", Labels: map[string]string{"app": "istiod", "istio.io/rev": "1-29-1"},
	}}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	return p
}

func TestGatewaysAreRead(t *testing.T) {
	all := []string{gatewayKind, "GatewayClass", "HTTPRoute"}
	route := gatewayAPIObject("HTTPRoute", "demo", "echo", map[string]any{"status": map[string]any{"parents": []any{map[string]any{
		"controllerName": "istio.io/gateway-controller", "parentRef": map[string]any{"name": "web", "kind": "Gateway"},
		"conditions": []any{map[string]any{
			"type": accepted, "status": "False", "reason": "NoMatchingParent", "lastTransitionTime": ago(time.Minute).Format(time.RFC3339),
		}},
	}}}})
	tests := map[string]struct {
		kinds   []string
		objects []client.Object
		err     error
		notYet  bool
		want    meshv1alpha1.Verdict
		words   string
	}{
		"there is no Gateway API":       {want: meshv1alpha1.VerdictPass, words: "no Gateway API"},
		"the Gateway API has just gone": {kinds: all, err: &meta.NoKindMatchError{}, want: meshv1alpha1.VerdictPass, words: "no Gateway API"},
		"there is no Gateway":           {kinds: all, want: meshv1alpha1.VerdictPass, words: "no Gateway of Istio's"},
		"Gateways cannot be read":       {kinds: all, err: errors.New("refused"), want: meshv1alpha1.VerdictError, words: "list Gateways: refused"},
		"the move is unknown":           {kinds: all, notYet: true, want: meshv1alpha1.VerdictInconclusive, words: "unknown when"},
		"those of others are not looked at": {
			kinds: all, objects: []client.Object{aClass("other", "example.com/gateways"), aGateway("theirs", "other", "False", time.Minute),
				aGateway("odd", "unknown", "False", time.Minute)},
			want: meshv1alpha1.VerdictPass, words: "no Gateway of Istio's",
		},
		"a class of Istio's by another name": {
			kinds: all, objects: []client.Object{aClass("shop", "istio.io/gateway-controller"), aGateway("web", "shop", "False", time.Minute)},
			want: meshv1alpha1.VerdictFail, words: "Gateway demo/web: Programmed is False, Because",
		},
		"a name of Istio's that is another controller's class": {
			kinds: all, objects: []client.Object{aClass("istio", "example.com/gateways"), aGateway("web", "istio", "False", time.Minute)},
			want: meshv1alpha1.VerdictPass, words: "no Gateway of Istio's",
		},
		"a class of Istio's without an object, without routes": {
			kinds: []string{gatewayKind}, objects: []client.Object{aGateway("web", "istio", "True", day)},
			want: meshv1alpha1.VerdictPass, words: "1 Gateway programmed, 0 HTTPRoutes accepted",
		},
		"what istiod has made is found": {
			kinds: all, objects: []client.Object{aGateway("web", "istio", "True", day), webDeployment("False", time.Minute)},
			want: meshv1alpha1.VerdictFail, words: "its Deployment web-istio is not available",
		},
		"routes are found": {
			kinds: all, objects: []client.Object{aGateway("web", "istio", "True", day), route},
			want: meshv1alpha1.VerdictFail, words: "HTTPRoute demo/echo at Gateway demo/web: Accepted is False",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := gatetest.Subject()
			if !tt.notYet {
				m.MovedAt = now.Add(-moved)
			}
			m.Client = gatewayAPIClient(tt.kinds, append(tt.objects, readyIstiod()), tt.err)
			i := slices.IndexFunc(WithTraffic(), func(g gate.Gate) bool { return g.Name() == "GatewaysProgrammed" })
			gatetest.Check(t, WithTraffic()[i].Ask(t.Context(), *m), tt.want, tt.words)
		})
	}
}
