package flux

import (
	"os"
	"path/filepath"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// TestSamples reads the objects of Flux in its own types, and follows what the Kustomizations refer to.
func TestSamples(t *testing.T) {
	kustomizations := map[string]*kustomizev1.Kustomization{}
	sources := map[string]bool{"flux-system": true} // made by flux bootstrap
	for _, path := range sampleFiles(t) {
		kind := metav1.TypeMeta{}
		if err := yaml.Unmarshal(read(t, path), &kind); err != nil {
			t.Fatal(err)
		}
		switch kind.GroupVersionKind().String() {
		case "kustomize.toolkit.fluxcd.io/v1, Kind=Kustomization":
			k := &kustomizev1.Kustomization{}
			decode(t, path, k)
			kustomizations[k.Name] = k
		case "source.toolkit.fluxcd.io/v1, Kind=GitRepository":
			source := &sourcev1.GitRepository{}
			decode(t, path, source)
			sources[source.Name] = true
		case "source.toolkit.fluxcd.io/v1, Kind=HelmRepository":
			decode(t, path, &sourcev1.HelmRepository{})
		}
	}
	for _, name := range []string{"cert-manager", "meshfleet-operator", "mesh-access", "mesh-members", "mesh"} {
		k := kustomizations[name]
		if k == nil {
			t.Errorf("no Kustomization %s", name)
			continue
		}
		checkReferences(t, k, kustomizations, sources)
	}
	for _, name := range []string{"mesh-members", "mesh"} {
		if k := kustomizations[name]; k != nil && k.Spec.ServiceAccountName != "mesh-editor" {
			t.Errorf("Kustomization %s is applied as %q, want an account that may not approve", name, k.Spec.ServiceAccountName)
		}
	}
}

// checkReferences wants the sources, the dependencies and the directory of a Kustomization to exist.
func checkReferences(t *testing.T, k *kustomizev1.Kustomization, all map[string]*kustomizev1.Kustomization, sources map[string]bool) {
	t.Helper()
	if !sources[k.Spec.SourceRef.Name] {
		t.Errorf("Kustomization %s: no source %s", k.Name, k.Spec.SourceRef.Name)
	}
	for _, d := range k.Spec.DependsOn {
		if all[d.Name] == nil {
			t.Errorf("Kustomization %s: no Kustomization %s to depend on", k.Name, d.Name)
		}
	}
	root := samples
	if k.Spec.SourceRef.Name == "meshfleet" {
		root = "../.."
	}
	if _, err := os.Stat(filepath.Join(root, k.Spec.Path, "kustomization.yaml")); err != nil {
		t.Errorf("Kustomization %s: %v", k.Name, err)
	}
	if k.Spec.Timeout == nil || k.Spec.Timeout.Duration > k.Spec.Interval.Duration {
		t.Errorf("Kustomization %s: timeout %v must not exceed the interval %v", k.Name, k.Spec.Timeout, k.Spec.Interval)
	}
}

// sampleFiles are the manifests of the Flux layout, each of one object.
func sampleFiles(t *testing.T) (out []string) {
	t.Helper()
	for _, pattern := range []string{"*.yaml", "*/*.yaml"} {
		found, err := filepath.Glob(filepath.Join(samples, "flux", pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%d samples: %v", len(found), err)
		}
		out = append(out, found...)
	}
	return out
}
