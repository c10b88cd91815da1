package builtin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/istio"
)

const (
	gatewayGroup = "gateway.networking.k8s.io"
	gatewayKind  = "Gateway"
	// istioControllers begins the names under which istiod keeps Gateways: those that it runs, waypoints, remote ones.
	istioControllers = "istio.io/"
)

// istioClasses are classes that istiod keeps even without a GatewayClass of theirs.
var istioClasses = []string{"istio", "istio-east-west", "istio-remote", "istio-waypoint"}

// gatewayClass is what is read of a GatewayClass.
type gatewayClass struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		ControllerName string `json:"controllerName"`
	} `json:"spec"`
}

// apiGateway is what is read of a Gateway of the Gateway API.
type apiGateway struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		GatewayClassName string `json:"gatewayClassName"`
		Addresses        []struct {
			Type string `json:"type"`
		} `json:"addresses"`
	} `json:"spec"`
	Status struct {
		Conditions []metav1.Condition `json:"conditions"`
	} `json:"status"`
}

// httpRoute is what is read of an HTTPRoute.
type httpRoute struct {
	metav1.ObjectMeta `json:"metadata"`
	Status            struct {
		Parents []routeParent `json:"parents"`
	} `json:"status"`
}

// routeParent is the status that one controller sets on a route at one of its parents.
type routeParent struct {
	ParentRef struct {
		Group     *string `json:"group"`
		Kind      *string `json:"kind"`
		Namespace string  `json:"namespace"`
		Name      string  `json:"name"`
	} `json:"parentRef"`
	ControllerName string             `json:"controllerName"`
	Conditions     []metav1.Condition `json:"conditions"`
}

// gatewayWorld is what the gate is about.
type gatewayWorld struct {
	// isThere means that the member has the Gateway API.
	isThere bool
	// gateways are those that istiod keeps.
	gateways []apiGateway
	routes   []httpRoute
	// deployments are what istiod has made for Gateways.
	deployments map[types.NamespacedName]*appsv1.Deployment
}

// istioGateways are the Gateways that istiod keeps, by their classes.
func istioGateways(ctx context.Context, m *gate.Subject) (gateways []apiGateway, isThere bool, err error) {
	if gateways, isThere, err = listKind[apiGateway](ctx, m, gatewayKind); err != nil || len(gateways) == 0 {
		return nil, isThere, err
	}
	classes, _, err := listKind[gatewayClass](ctx, m, "GatewayClass")
	if err != nil {
		return nil, true, err
	}
	controllers := map[string]string{}
	for _, name := range istioClasses {
		controllers[name] = istioControllers
	}
	for _, c := range classes {
		controllers[c.Name] = c.Spec.ControllerName
	}
	return slices.DeleteFunc(gateways, func(g apiGateway) bool {
		return !strings.HasPrefix(controllers[g.Spec.GatewayClassName], istioControllers)
	}), true, nil
}

func readGateways(ctx context.Context, m *gate.Subject) (w gatewayWorld, err error) {
	if w.gateways, w.isThere, err = istioGateways(ctx, m); err != nil || len(w.gateways) == 0 {
		return w, err
	}
	if w.routes, _, err = listKind[httpRoute](ctx, m, "HTTPRoute"); err != nil {
		return w, err
	}
	w.deployments = map[types.NamespacedName]*appsv1.Deployment{}
	list := &appsv1.DeploymentList{}
	for {
		if err := m.Client.List(ctx, list, client.HasLabels{istio.ManagedGatewayLabel}, client.Limit(gate.PageSize), client.Continue(list.Continue)); err != nil {
			return w, fmt.Errorf("list Deployments of Gateways: %w", err)
		}
		for i := range list.Items {
			d := &list.Items[i]
			for _, owner := range d.OwnerReferences {
				if owner.Kind == gatewayKind {
					w.deployments[types.NamespacedName{Namespace: d.Namespace, Name: owner.Name}] = d.DeepCopy()
				}
			}
		}
		if list.Continue == "" {
			return w, nil
		}
	}
}

// listKind reads all objects of a kind of the Gateway API, in the version that the API server prefers. A kind that it does
// not have has none.
func listKind[T any](ctx context.Context, m *gate.Subject, kind string) (items []T, isThere bool, err error) {
	mapping, err := m.Client.RESTMapper().RESTMapping(schema.GroupKind{Group: gatewayGroup, Kind: kind})
	if meta.IsNoMatchError(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("find the kind %s: %w", kind, err)
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(mapping.GroupVersionKind.GroupVersion().WithKind(kind + "List"))
	for {
		err := m.Client.List(ctx, list, client.Limit(gate.PageSize), client.Continue(list.GetContinue()))
		if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, fmt.Errorf("list %ss: %w", kind, err)
		}
		for i := range list.Items {
			var item T
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &item); err != nil {
				return nil, false, fmt.Errorf("read %s: %w", nameOf(&list.Items[i]), err)
			}
			items = append(items, item)
		}
		if list.GetContinue() == "" {
			return items, true, nil
		}
	}
}

// writtenAt is when more than the status was last written.
func writtenAt(o *metav1.ObjectMeta) time.Time {
	at := o.CreationTimestamp.Time
	for _, f := range o.ManagedFields {
		if f.Subresource == "" && f.Time != nil && f.Time.After(at) {
			at = f.Time.Time
		}
	}
	return at
}

// isByHand reports whether the Gateway names a workload of its users', in place of one that istiod makes.
func (g *apiGateway) isByHand() bool {
	return slices.ContainsFunc(g.Spec.Addresses, func(a struct {
		Type string `json:"type"`
	}) bool {
		return a.Type == "Hostname"
	})
}

// gatewayOf is the Gateway that a route's parent is, if it is one.
func (p *routeParent) gatewayOf(route *httpRoute) (types.NamespacedName, bool) {
	isGateway := (p.ParentRef.Group == nil || *p.ParentRef.Group == gatewayGroup) &&
		(p.ParentRef.Kind == nil || *p.ParentRef.Kind == gatewayKind)
	key := types.NamespacedName{Namespace: p.ParentRef.Namespace, Name: p.ParentRef.Name}
	if key.Namespace == "" {
		key.Namespace = route.Namespace
	}
	return key, isGateway
}
