package hub

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func TestEnsure(t *testing.T) {
	inst := testutil.Installation()
	owned := *metav1.NewControllerRef(inst, meshv1alpha1.GroupVersion.WithKind("MeshInstallation"))
	other := owned
	other.UID = "another"
	settings := func(value string, owners ...metav1.OwnerReference) *corev1.ConfigMap {
		return &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: testutil.Namespace, OwnerReferences: owners, Labels: map[string]string{"theirs": "stays"}},
			Data:       map[string]string{"key": value},
		}
	}
	labelled := func(o *corev1.ConfigMap) *corev1.ConfigMap {
		o.Labels[meshv1alpha1.LabelInstallation] = inst.Name
		return o
	}
	cases := map[string]struct {
		objects []client.Object
		want    string
		wantErr error
	}{
		"it is created":                      {want: "wanted"},
		"it is changed":                      {objects: []client.Object{settings("old", owned)}, want: "wanted"},
		"it stays":                           {objects: []client.Object{settings("wanted", owned)}, want: "wanted"},
		"one from a backup is taken over":    {objects: []client.Object{labelled(settings("old"))}, want: "wanted"},
		"a label alone takes nothing over":   {objects: []client.Object{labelled(settings("old", other))}, want: "old", wantErr: ErrNotOurs},
		"a user's is left alone":             {objects: []client.Object{settings("old")}, want: "old", wantErr: ErrNotOurs},
		"that of another mesh is left alone": {objects: []client.Object{settings("old", other)}, want: "old", wantErr: ErrNotOurs},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := runtime.NewScheme()
			if err := errors.Join(meshv1alpha1.AddToScheme(s), corev1.AddToScheme(s)); err != nil {
				t.Fatal(err)
			}
			store := fake.NewClientBuilder().WithScheme(s).WithObjects(c.objects...).Build()
			o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings", Namespace: testutil.Namespace}}
			err := Ensure(t.Context(), store, inst, o, map[string]string{"ours": "there", meshv1alpha1.LabelInstallation: inst.Name}, func() error {
				o.Data = map[string]string{"key": "wanted"}
				return nil
			})
			if !errors.Is(err, c.wantErr) {
				t.Fatalf("error is %v, want %v", err, c.wantErr)
			}
			have := &corev1.ConfigMap{}
			if err := store.Get(t.Context(), client.ObjectKeyFromObject(o), have); err != nil {
				t.Fatal(err)
			}
			if have.Data["key"] != c.want {
				t.Errorf("data is %v, want %q", have.Data, c.want)
			}
			if c.wantErr != nil {
				return
			}
			want := map[string]string{"ours": "there", meshv1alpha1.LabelInstallation: inst.Name}
			if len(c.objects) > 0 {
				want["theirs"] = "stays"
			}
			if diff := cmp.Diff(want, have.Labels); diff != "" || !metav1.IsControlledBy(have, inst) {
				t.Errorf("owners %v, labels (-want +got):\n%s", have.OwnerReferences, diff)
			}
		})
	}
}
