package installation

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func TestInstallationsOfSecret(t *testing.T) {
	r := hubReconciler(t, testutil.Installation(testutil.With("east")))
	for name, want := range map[string]int{"shop-root": 1, "shop-east-ca": 1, "shop-west-ca": 0, "another": 0} {
		got := usersOf(r.Client, usesSecret)(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: testutil.Namespace}})
		if len(got) != want {
			t.Errorf("%s: %v, want %d", name, got, want)
		}
	}
}

func TestInstallationsOfConfigMap(t *testing.T) {
	inst := testutil.Installation(testutil.With("east"))
	inst.Spec.Charts = &meshv1alpha1.Charts{Archives: &meshv1alpha1.ChartArchives{ConfigMapRef: &meshv1alpha1.ObjectName{Name: "istio-charts"}}}
	r := hubReconciler(t, inst)
	for name, want := range map[string]int{"istio-charts": 1, "shop-root": 0, "another": 0} {
		// The watch delivers metadata only.
		got := usersOf(r.Client, usesConfigMap)(t.Context(), &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: testutil.Namespace}})
		if len(got) != want {
			t.Errorf("%s: %v, want %d", name, got, want)
		}
	}
}

// TestCacheKeepsNoContentOfConfigMaps wants the cache to keep no annotation, in which kubectl keeps the content.
func TestCacheKeepsNoContentOfConfigMaps(t *testing.T) {
	for o, options := range CacheOptions() {
		if _, isConfigMap := o.(*corev1.ConfigMap); !isConfigMap {
			t.Errorf("settings for %T", o)
		}
		kept, err := options.Transform(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Name: "istio-charts", Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: "{}"}, ManagedFields: []metav1.ManagedFieldsEntry{{}},
		}})
		m, ok := kept.(*metav1.PartialObjectMetadata)
		if err != nil || !ok || m.Name != "istio-charts" || m.Annotations != nil || m.ManagedFields != nil {
			t.Errorf("kept %+v, error %v", kept, err)
		}
	}
}
