package installation

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestAStatusIsChangedBackAlthoughTheCacheIsBehind lets a member fail for a moment that ends before the cache has the status
// that says so. No later event starts another pass.
func TestAStatusIsChangedBackAlthoughTheCacheIsBehind(t *testing.T) {
	inst := testutil.Installation(testutil.With("east"))
	inst.Finalizers = []string{meshv1alpha1.Finalizer}
	east := testutil.Member("east", testutil.Ready(), testutil.Root("aa"))
	east.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(inst, meshv1alpha1.GroupVersion.WithKind("MeshInstallation"))}
	var cached *meshv1alpha1.MeshInstallation
	store := fake.NewClientBuilder().WithScheme(testutil.HubScheme(t)).WithObjects(inst, east).
		WithStatusSubresource(&meshv1alpha1.MeshInstallation{}, &meshv1alpha1.MeshMember{}).
		WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, w client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				if own, ok := o.(*meshv1alpha1.MeshInstallation); ok && cached != nil {
					cached.DeepCopyInto(own)
					return nil
				}
				return w.Get(ctx, key, o, opts...)
			},
		}).Build()
	r := &Reconciler{Client: store, Events: &events.FakeRecorder{}, Now: func() time.Time { return testutil.Now }}
	key := client.ObjectKeyFromObject(inst)
	ready := func() int32 {
		t.Helper()
		if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: key}); err != nil {
			t.Fatal(err)
		}
		list := &meshv1alpha1.MeshInstallationList{}
		testutil.Must(t, store.List(t.Context(), list))
		return list.Items[0].Status.Members.Ready
	}
	report := func(change func(*meshv1alpha1.MeshMember)) {
		t.Helper()
		m := &meshv1alpha1.MeshMember{}
		testutil.Must(t, store.Get(t.Context(), client.ObjectKeyFromObject(east), m))
		change(m)
		for i := range m.Status.Conditions {
			m.Status.Conditions[i].ObservedGeneration = m.Generation
		}
		testutil.Must(t, store.Status().Update(t.Context(), m))
	}
	// The first pass writes what it plans for the member.
	ready()
	report(testutil.Ready())
	if got := ready(); got != 1 {
		t.Fatalf("%d members are ready, want 1", got)
	}
	cached = &meshv1alpha1.MeshInstallation{}
	list := &meshv1alpha1.MeshInstallationList{}
	testutil.Must(t, store.List(t.Context(), list))
	list.Items[0].DeepCopyInto(cached)

	report(testutil.Conditions("Ready=False Retrying"))
	if got := ready(); got != 0 {
		t.Fatalf("%d members are ready while east fails, want 0", got)
	}
	report(testutil.Ready())
	if got := ready(); got != 1 {
		t.Errorf("%d members are ready after east has recovered, want 1", got)
	}
}
