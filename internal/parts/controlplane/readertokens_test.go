package controlplane

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

func istiodDeployment(env ...any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"kind": "Deployment", "metadata": map[string]any{"name": "istiod-1-29-1"},
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
			"volumes":    []any{map[string]any{"name": "users"}},
			"containers": []any{map[string]any{"name": "discovery", "env": env, "volumeMounts": []any{map[string]any{"name": "users", "mountPath": "/users"}}}},
		}}},
	}}
}

func TestPrepareDiscovery(t *testing.T) {
	at := metav1.NewTime(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	option := func(v string) map[string]any { return map[string]any{"name": kubeconfigOptions, "value": v} }
	cases := map[string]struct {
		spec           meshv1alpha1.MeshMemberSpec
		env            []any
		wantEnv        []any
		wantMounts     int
		wantAnnotation string
	}{
		"token files": {
			spec: meshv1alpha1.MeshMemberSpec{ReaderTokens: meshv1alpha1.ReaderTokensFile}, wantEnv: []any{option("tokenFile")}, wantMounts: 2,
		},
		"beside what the user allows": {
			spec: meshv1alpha1.MeshMemberSpec{ReaderTokens: meshv1alpha1.ReaderTokensFile},
			env:  []any{option("exec")}, wantEnv: []any{option("exec,tokenFile")}, wantMounts: 2,
		},
		"what the user allows already": {
			spec: meshv1alpha1.MeshMemberSpec{ReaderTokens: meshv1alpha1.ReaderTokensFile},
			env:  []any{option("tokenFile,exec")}, wantEnv: []any{option("tokenFile,exec")}, wantMounts: 2,
		},
		"tokens inline stay as they are": {wantMounts: 1},
		"a restart": {
			spec:       meshv1alpha1.MeshMemberSpec{IstiodRestart: &meshv1alpha1.IstiodRestart{OrderedAt: at}},
			wantMounts: 1, wantAnnotation: "2026-03-01T12:00:00Z",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := istiodDeployment(c.env...)
			// What runs is prepared in the same way as what was rendered, and twice is as good as once.
			for range 2 {
				if err := PrepareDiscovery(&c.spec, d); err != nil {
					t.Fatal(err)
				}
			}
			containers, _, _ := unstructured.NestedSlice(d.Object, "spec", "template", "spec", "containers")
			container := containers[0].(map[string]any)
			if diff := cmp.Diff(c.wantEnv, container["env"]); diff != "" && len(c.wantEnv) > 0 {
				t.Errorf("environment (-want +got):\n%s", diff)
			}
			if mounts := container["volumeMounts"].([]any); len(mounts) != c.wantMounts {
				t.Errorf("mounts are %v", mounts)
			}
			volumes, _, _ := unstructured.NestedSlice(d.Object, "spec", "template", "spec", "volumes")
			if len(volumes) != c.wantMounts {
				t.Errorf("volumes are %v", volumes)
			}
			annotation, _, _ := unstructured.NestedString(d.Object, "spec", "template", "metadata", "annotations", mesh.RestartAnnotation)
			if annotation != c.wantAnnotation {
				t.Errorf("annotation is %q, want %q", annotation, c.wantAnnotation)
			}
		})
	}
}

func TestPrepareDiscoveryWithoutTheContainer(t *testing.T) {
	d := istiodDeployment()
	if err := unstructured.SetNestedSlice(d.Object, nil, "spec", "template", "spec", "containers"); err != nil {
		t.Fatal(err)
	}
	if err := PrepareDiscovery(&meshv1alpha1.MeshMemberSpec{ReaderTokens: meshv1alpha1.ReaderTokensFile}, d); err == nil {
		t.Error("a Deployment that cannot read the files is accepted")
	}
}
