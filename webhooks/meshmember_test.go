package webhooks

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// readerOf reads one installation, or none.
func readerOf(t *testing.T, inst *meshv1alpha1.MeshInstallation) client.Reader {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := meshv1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	b := fake.NewClientBuilder().WithScheme(scheme)
	if inst != nil {
		b = b.WithObjects(inst)
	}
	return b.Build()
}

func TestDeletionOfAMemberThatStaysIsWarnedOf(t *testing.T) {
	names := func(members ...string) *meshv1alpha1.MeshInstallation {
		return installation("shop", func(inst *meshv1alpha1.MeshInstallation) {
			inst.Spec.Members = nil
			for _, m := range members {
				inst.Spec.Members = append(inst.Spec.Members, meshv1alpha1.Member{Name: m})
			}
		})
	}
	going := names("west")
	going.DeletionTimestamp, going.Finalizers = &metav1.Time{Time: time.Unix(1, 0)}, []string{meshv1alpha1.Finalizer}
	cases := map[string]struct {
		inst   *meshv1alpha1.MeshInstallation
		warned bool
	}{
		"the mesh names it":         {names("east", "west"), true},
		"the mesh has dropped it":   {names("east"), false},
		"the mesh is being deleted": {going, false},
		"the mesh is gone":          {nil, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := &meshv1alpha1.MeshMember{ObjectMeta: metav1.ObjectMeta{Namespace: "meshfleet-system", Name: "shop-west"}}
			m.Spec.Installation, m.Spec.Cluster = "shop", "west"
			warnings, err := deletions{reader: readerOf(t, c.inst)}.ValidateDelete(t.Context(), m)
			if err != nil || (len(warnings) > 0) != c.warned {
				t.Errorf("warnings %v, error %v, want a warning: %v", warnings, err, c.warned)
			}
		})
	}
}
