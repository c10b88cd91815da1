package preflight

import (
	"context"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
)

const (
	controlPlane = "istio-system"
	owner        = "meshfleet-system.shop"
)

// allowed answers reviews: what rules list, and what reviews of one access allow. A nil function allows nothing.
type allowed struct {
	rules []authorizationv1.ResourceRule
	// there are the rules that hold in the control plane's namespace only.
	there []authorizationv1.ResourceRule
	one   func(*authorizationv1.ResourceAttributes) bool
	asked *int
}

func (a allowed) review(ctx context.Context, c client.WithWatch, o client.Object, options ...client.CreateOption) error {
	switch r := o.(type) {
	case *authorizationv1.SelfSubjectRulesReview:
		r.Status.ResourceRules = a.rules
		if r.Spec.Namespace == "istio-system" {
			r.Status.ResourceRules = slices.Concat(a.rules, a.there)
		}
	case *authorizationv1.SelfSubjectAccessReview:
		if a.asked != nil {
			*a.asked++
		}
		r.Status.Allowed = a.one != nil && a.one(r.Spec.ResourceAttributes)
	default:
		return c.Create(ctx, o, options...)
	}
	return nil
}

// subject builds a member of a cluster that has these objects.
func subject(t *testing.T, a allowed, objects ...client.Object) *Subject {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	for kind, scope := range map[schema.GroupVersionKind]meta.RESTScope{
		{Group: "apps", Version: "v1", Kind: "Deployment"}:                               meta.RESTScopeNamespace,
		{Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"}:           meta.RESTScopeNamespace,
		{Version: "v1", Kind: "Service"}:                                                 meta.RESTScopeNamespace,
		{Version: "v1", Kind: "ConfigMap"}:                                               meta.RESTScopeNamespace,
		{Version: "v1", Kind: "Secret"}:                                                  meta.RESTScopeNamespace,
		{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "Role"}:                meta.RESTScopeNamespace,
		{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"}:         meta.RESTScopeRoot,
		{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}: meta.RESTScopeRoot,
	} {
		mapper.Add(kind, scope)
	}
	release, ok := istioversion.Of("1.29.1")
	if !ok {
		t.Fatal("1.29.1 is not in the table")
	}
	return &Subject{
		Client: fake.NewClientBuilder().WithScheme(scheme).WithRESTMapper(mapper).WithObjects(objects...).
			WithInterceptorFuncs(interceptor.Funcs{Create: a.review}).Build(),
		Namespace: controlPlane, Installation: owner, Release: release, KubernetesVersion: "v1.34.0",
		Injects: []string{"default", "prod", "1-28-3", "1-29-1"},
	}
}

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

const istiod = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod-1-29-1, namespace: istio-system}
spec:
  replicas: 2
  template:
    spec:
      nodeSelector: {pool: infra}
      tolerations: [{key: infra, operator: Exists}]
      containers: [{name: discovery, resources: {requests: {cpu: 500m, memory: 2Gi}, limits: {memory: 2Gi}}}]
`

// infra is a node with that much of CPU and memory that takes istiod.
func infra(name, cpu, memory string, change ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"pool": "infra"}},
		Spec:       corev1.NodeSpec{Taints: []corev1.Taint{{Key: "infra", Effect: corev1.TaintEffectNoSchedule}}},
		Status: corev1.NodeStatus{
			Allocatable: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory), corev1.ResourcePods: resource.MustParse("10"),
			},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
	for _, c := range change {
		c(n)
	}
	return n
}

func running(name, node, cpu, memory string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "demo"},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "app", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)},
		}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
}

// TestKubernetes wants a version that istiod refuses to be a problem, and one that upstream does not support to be a warning.
func TestKubernetes(t *testing.T) {
	release, _ := istioversion.Of("1.29.1")
	for version, want := range map[string]string{
		"v1.29.9": "problem", "v1.30.2": "warning: Kubernetes 1.30", "v1.31.0": "Kubernetes v1.31.0", "v1.36.1": "warning: Kubernetes 1.36",
	} {
		f, err := kubernetes(t.Context(), &Subject{Release: release, KubernetesVersion: version})
		if err != nil {
			t.Fatal(err)
		}
		if (len(f.Problems) > 0) != (want == "problem") || want != "problem" && !strings.HasPrefix(f.Note, want) {
			t.Errorf("Kubernetes %s: %+v, want %q", version, f, want)
		}
	}
}
