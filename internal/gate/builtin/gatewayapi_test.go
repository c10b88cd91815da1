package builtin

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/gate/gatetest"
)

// day is how old everything is.
const day = 24 * time.Hour

func ago(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

// gatewayKinds are the kinds of the Gateway API in the version that the API server of the tests prefers.
func gatewayKinds(kinds ...string) meta.RESTMapper {
	gv := schema.GroupVersion{Group: gatewayGroup, Version: "v1"}
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{gv})
	for _, kind := range kinds {
		mapper.Add(gv.WithKind(kind), meta.RESTScopeNamespace)
	}
	return mapper
}

func gatewayAPIObject(kind, namespace, name string, content map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: gatewayGroup, Version: "v1", Kind: kind})
	u.SetNamespace(namespace)
	u.SetName(name)
	u.SetCreationTimestamp(ago(day))
	return u
}

// aGateway is a Gateway as the API server has it.
func aGateway(name, class, status string, since time.Duration) *unstructured.Unstructured {
	return gatewayAPIObject("Gateway", "demo", name, map[string]any{
		"spec": map[string]any{"gatewayClassName": class},
		"status": map[string]any{"conditions": []any{map[string]any{
			"type": "Programmed", "status": status, "reason": "Because", "lastTransitionTime": ago(since).Format(time.RFC3339),
		}}},
	})
}

func aClass(name, controller string) *unstructured.Unstructured {
	return gatewayAPIObject("GatewayClass", "", name, map[string]any{"spec": map[string]any{"controllerName": controller}})
}

// gatewayAPIClient has some kinds of the Gateway API, and fails to list Gateways with an error if there is one.
func gatewayAPIClient(kinds []string, objects []client.Object, err error) client.Client {
	mapper := meta.MultiRESTMapper{gatewayKinds(kinds...), meta.NewDefaultRESTMapper(nil)}
	return fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithRESTMapper(mapper).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if list.GetObjectKind().GroupVersionKind().Kind == "GatewayList" && err != nil {
				return err
			}
			return c.List(ctx, list, opts...)
		},
	}).Build()
}

func TestReadingPages(t *testing.T) {
	const pages = 3
	c := fake.NewClientBuilder().WithRESTMapper(gatewayKinds(gatewayKind)).WithInterceptorFuncs(interceptor.Funcs{
		List: func(_ context.Context, _ client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			o := (&client.ListOptions{}).ApplyOptions(opts)
			if o.Limit != gate.PageSize {
				t.Errorf("limit %d, want %d", o.Limit, gate.PageSize)
			}
			u := list.(*unstructured.UnstructuredList)
			u.Items = []unstructured.Unstructured{*aGateway("web-"+o.Continue, "istio", "True", day)}
			u.SetContinue(o.Continue + "x")
			if len(o.Continue) == pages-1 {
				u.SetContinue("")
			}
			return nil
		},
	}).Build()
	m := gatetest.Subject()
	m.Client = c
	gateways, isThere, err := listKind[apiGateway](t.Context(), m, gatewayKind)
	if err != nil || !isThere || len(gateways) != pages {
		t.Errorf("%d Gateways, there: %v, error %v; want %d of as many pages", len(gateways), isThere, err, pages)
	}
}
