package gate

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
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
			if o.Limit != pageSize {
				t.Errorf("limit %d, want %d", o.Limit, pageSize)
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
	m := testMember()
	m.Client = c
	gateways, isThere, err := listKind[apiGateway](t.Context(), m, gatewayKind)
	if err != nil || !isThere || len(gateways) != pages {
		t.Errorf("%d Gateways, there: %v, error %v; want %d of as many pages", len(gateways), isThere, err, pages)
	}
}

func TestTooEarlyToCompare(t *testing.T) {
	byHand := gatewayAPIObject("Gateway", "ingress", "web", map[string]any{"spec": map[string]any{
		"gatewayClassName": "istio", "addresses": []any{map[string]any{"type": "Hostname", "value": "ingress.ingress.svc.cluster.local"}},
	}})
	proxy := func(kind, namespace string, labels map[string]string) istiod.Client {
		return istiod.Client{Type: kind, Labels: labels, Metadata: map[string]any{"NAMESPACE": namespace}}
	}
	tests := map[string]struct {
		client  istiod.Client
		version string
		want    bool
	}{
		"a sidecar":                              {client: proxy(istiod.Sidecar, "demo", nil)},
		"a gateway of Istio's own API":           {client: proxy(istiod.Router, "istio-system", nil)},
		"what istiod runs for a Gateway":         {client: proxy(istiod.Router, "demo", map[string]string{managedLabel: "x"}), want: true},
		"a gateway that users run for a Gateway": {client: proxy(istiod.Router, "ingress", nil), want: true},
		"a sidecar beside it":                    {client: proxy(istiod.Sidecar, "ingress", nil)},
		"a release that knows all Gateways":      {client: proxy(istiod.Router, "ingress", nil), version: "99.0.0"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := testMember()
			if tt.version != "" {
				m.ToVersion = tt.version
			}
			m.Client = gatewayAPIClient([]string{gatewayKind, "GatewayClass"}, []client.Object{byHand}, nil)
			isEarly, err := m.tooEarly(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := isEarly(tt.client); got != tt.want {
				t.Errorf("too early: %v, want %v", got, tt.want)
			}
		})
	}
}

func TestNoSampleWithGatewaysOnly(t *testing.T) {
	pod := func(name string, labels map[string]string) *corev1.Pod {
		labels[injectedLabel] = "x"
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: "demo", Name: name, Labels: labels, Annotations: map[string]string{revisionAnnotation: "1-28-3"},
		}}
	}
	gateway := pod("web", map[string]string{managedLabel: "x"})
	for name, want := range map[string]meshv1alpha1.Verdict{"": meshv1alpha1.VerdictPass, "app": meshv1alpha1.VerdictInconclusive} {
		m, objects := testMember(), []client.Object{gateway}
		if name != "" {
			objects = append(objects, pod(name, map[string]string{}))
		}
		m.Client = fake.NewClientBuilder().WithObjects(objects...).Build()
		got, err := m.judgeNoSample(t.Context())
		if err != nil || got.Verdict != want {
			t.Errorf("with pods %v: %s %s, %v; want %s", strings.TrimSpace("web "+name), got.Verdict, got.Message, err, want)
		}
	}
}
