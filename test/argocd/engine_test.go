package argocd

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/settings"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"
)

const (
	config    = "../../config/argocd"
	samples   = "../../config/samples/gitops/argocd"
	namespace = "argocd"
)

// The ConfigMaps of config/argocd.
const (
	standard  = "argocd-cm.yaml"
	approvals = "argocd-cm-approvals.yaml"
)

// customizations are what Argo CD reads from its ConfigMap, if the ConfigMap has the content of files of config/argocd.
func customizations(t *testing.T, files ...string) map[string]v1alpha1.ResourceOverride {
	t.Helper()
	cm := &corev1.ConfigMap{Data: map[string]string{}}
	for _, name := range files {
		part := &corev1.ConfigMap{}
		decode(t, filepath.Join(config, name), part)
		cm.ObjectMeta = part.ObjectMeta
		maps.Copy(cm.Data, part.Data)
	}
	cm.Namespace = namespace
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "argocd-secret", Namespace: namespace, Labels: cm.Labels}}
	all, err := settings.NewSettingsManager(t.Context(), fake.NewClientset(cm, secret), namespace).GetResourceOverrides()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// glob returns the files that a pattern names below config/argocd.
func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(config, pattern))
	if err != nil || len(found) == 0 {
		t.Fatalf("%d files %s: %v", len(found), pattern, err)
	}
	return found
}

// object reads a recorded object with the numbers that an API server's answer has.
func object(t *testing.T, path string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON(read(t, path))
	if err != nil {
		t.Fatal(err)
	}
	out := &unstructured.Unstructured{}
	if err := out.UnmarshalJSON(raw); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return out
}

// decode reads a file into its type. Fields that the type does not have are an error.
func decode(t *testing.T, path string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict(read(t, path), into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
