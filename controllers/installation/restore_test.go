package installation

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

var errCrash = errors.New("the operator stops here")

// crashing is a hub on which one write fails: that before which so many others were made.
type crashing struct {
	client.Client
	left int
}

func newCrashing(t *testing.T, objects ...client.Object) *crashing {
	c := &crashing{}
	write := func(do func() error) error {
		if c.left--; c.left == -1 {
			return errCrash
		}
		return do()
	}
	c.Client = fake.NewClientBuilder().WithScheme(testutil.HubScheme(t)).WithStatusSubresource(&meshv1alpha1.MeshMember{}).WithObjects(objects...).
		WithInterceptorFuncs(interceptor.Funcs{
			Create: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				return write(func() error { return w.Create(ctx, o, opts...) })
			},
			Patch: func(ctx context.Context, w client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
				return write(func() error { return w.Patch(ctx, o, p, opts...) })
			},
			Delete: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
				return write(func() error { return w.Delete(ctx, o, opts...) })
			},
			SubResourceUpdate: func(ctx context.Context, w client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
				return write(func() error { return w.SubResource(sub).Update(ctx, o, opts...) })
			},
		}).Build()
	return c
}

// servingInAnUpgrade is a member as it may be when somebody deletes it.
func servingInAnUpgrade(m *meshv1alpha1.MeshMember) {
	testutil.Reached(2)(m)
	testutil.Root("aa")(m)
	testutil.Ready()(m)
	m.Generation, m.Status.ObservedGeneration = 5, 4
	for i := range m.Status.Conditions {
		m.Status.Conditions[i].ObservedGeneration, m.Status.Conditions[i].LastTransitionTime = 4, metav1.NewTime(testutil.Now)
	}
	m.Status.Conditions[0].ObservedGeneration = 2
	m.Annotations = map[string]string{"of": "a user"}
	m.Finalizers = []string{meshv1alpha1.Finalizer}
	m.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(testutil.Installation(), meshv1alpha1.GroupVersion.WithKind("MeshInstallation"))}
	m.Spec.Rollout = &meshv1alpha1.MemberRollout{
		Upgrade: "shop-1", Stage: meshv1alpha1.StageWorkloads, OrderedAt: metav1.NewTime(testutil.Now.Add(-time.Hour)),
		From: meshv1alpha1.Revision{Name: "1-28-3", Version: "1.28.3"}, To: meshv1alpha1.Revision{Name: testutil.Revision, Version: testutil.Version},
	}
	m.Status.Rollout = &meshv1alpha1.MemberRolloutStatus{Upgrade: "shop-1", Stage: meshv1alpha1.StageWorkloads, State: meshv1alpha1.StageProgressing}
}

// TestADeletedMemberIsMadeAgain stops the operator before each of its writes in turn.
func TestADeletedMemberIsMadeAgain(t *testing.T) {
	inst := testutil.Installation(testutil.With("east"))
	for crash := range 8 {
		before := testutil.Member("east", servingInAnUpgrade)
		hub := newCrashing(t, inst.DeepCopy(), before.DeepCopy())
		hub.left = 1
		testutil.Must(t, hub.Delete(t.Context(), before.DeepCopy()))
		r := &Reconciler{Client: hub, Events: events.NewFakeRecorder(20), Now: func() time.Time { return testutil.Now }}
		hub.left = crash
		for pass := range 10 {
			members, err := r.members(t.Context(), inst)
			testutil.Must(t, err)
			pending, err := r.restorer().restore(t.Context(), inst, members)
			if err != nil && !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			if err == nil && len(pending) == 0 && pass > 0 {
				break
			}
		}
		after := &meshv1alpha1.MeshMember{}
		testutil.Must(t, hub.Get(t.Context(), client.ObjectKeyFromObject(before), after))
		if diff := cmp.Diff(before.Spec, after.Spec) + cmp.Diff(before.Labels, after.Labels) + cmp.Diff(before.Annotations, after.Annotations) +
			cmp.Diff(before.Finalizers, after.Finalizers) + cmp.Diff(before.OwnerReferences, after.OwnerReferences); diff != "" {
			t.Errorf("stopped before write %d (-before +after):\n%s", crash, diff)
		}
		if diff := cmp.Diff(*statusAgain(before), after.Status); diff != "" {
			t.Errorf("stopped before write %d, status (-before +after):\n%s", crash, diff)
		}
		if !after.DeletionTimestamp.IsZero() || after.Status.ObservedGeneration != 1 {
			t.Errorf("stopped before write %d: deleted at %v, generation %d observed", crash, after.DeletionTimestamp, after.Status.ObservedGeneration)
		}
		left := &corev1.SecretList{}
		testutil.Must(t, hub.List(t.Context(), left))
		if len(left.Items) > 0 {
			t.Errorf("stopped before write %d: %d snapshots are left", crash, len(left.Items))
		}
	}
}

func TestWhatIsNotMadeAgain(t *testing.T) {
	deleted := func(m *meshv1alpha1.MeshMember) { servingInAnUpgrade(m); testutil.Deleting()(m) }
	named := testutil.Installation(testutil.With("east"))
	cases := map[string]struct {
		inst   *meshv1alpha1.MeshInstallation
		member *meshv1alpha1.MeshMember
	}{
		"one that serves":                     {named, testutil.Member("east", servingInAnUpgrade)},
		"one whose removal was ordered":       {named, testutil.Member("east", deleted, testutil.Departing(meshv1alpha1.RemovalNow))},
		"one that the spec does not name":     {testutil.Installation(testutil.With("west")), testutil.Member("east", deleted)},
		"one that another object of it owns":  {named, testutil.Member("east", deleted, func(m *meshv1alpha1.MeshMember) { m.OwnerReferences[0].UID = "another" })},
		"one that waits until it may go away": {testutil.Installation(testutil.With("west")), testutil.Member("east", deleted, testutil.Departing(meshv1alpha1.RemovalWhenUnused))},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := hubReconciler(t, c.member)
			pending, err := r.restorer().restore(t.Context(), c.inst, testutil.Members(c.member))
			if err != nil || len(pending) > 0 {
				t.Errorf("pending %v, %v", pending, err)
			}
			after := &meshv1alpha1.MeshMember{}
			testutil.Must(t, r.Client.Get(t.Context(), client.ObjectKeyFromObject(c.member), after))
			if !slices.Equal(after.Finalizers, c.member.Finalizers) {
				t.Errorf("finalizers are %v", after.Finalizers)
			}
		})
	}
}

// TestAMemberMarkedWithoutASnapshot is one whose snapshot somebody deleted: it is not left marked for ever.
func TestAMemberMarkedWithoutASnapshot(t *testing.T) {
	inst := testutil.Installation(testutil.With("east"))
	for age, want := range map[time.Duration]bool{time.Second: true, 2 * snapshotLag: false} {
		m := testutil.Member("east", servingInAnUpgrade, func(m *meshv1alpha1.MeshMember) {
			m.Annotations[meshv1alpha1.AnnotationRestoring] = "true"
			m.CreationTimestamp = metav1.NewTime(testutil.Now.Add(-age))
		})
		r := hubReconciler(t, m)
		pending, err := r.restorer().restore(t.Context(), inst, testutil.Members(m))
		if err != nil || (len(pending) > 0) != want {
			t.Errorf("after %s: pending %v, %v", age, pending, err)
		}
		after := &meshv1alpha1.MeshMember{}
		testutil.Must(t, r.Client.Get(t.Context(), client.ObjectKeyFromObject(m), after))
		if mesh.IsRestoring(after) != want {
			t.Errorf("after %s: marked %v, want %v", age, mesh.IsRestoring(after), want)
		}
	}
}

func TestRecordsOfUpgradesAreHeld(t *testing.T) {
	inst := testutil.Installation(testutil.With("east"))
	record := func(name string, phase meshv1alpha1.UpgradePhase, isStarted bool) *meshv1alpha1.MeshUpgrade {
		u := &meshv1alpha1.MeshUpgrade{ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: inst.Namespace, Labels: map[string]string{meshv1alpha1.LabelInstallation: inst.Name}, Finalizers: []string{meshv1alpha1.Finalizer},
		}}
		u.Spec.Installation, u.Status.Phase = inst.Name, phase
		if isStarted {
			u.Status.StartedAt = &metav1.Time{Time: testutil.Now}
		}
		return u
	}
	cases := map[string]struct {
		upgrade *meshv1alpha1.MeshUpgrade
		gone    bool
	}{
		"one that runs stays":              {record("a", meshv1alpha1.UpgradeRunning, true), false},
		"one that is going back stays":     {record("a", meshv1alpha1.UpgradeRollingBack, true), false},
		"a plan that never ran goes":       {record("a", meshv1alpha1.UpgradePlanned, false), true},
		"one that has just been made, too": {record("a", "", false), true},
		"one that is over goes":            {record("a", meshv1alpha1.UpgradeRolledBack, true), true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := hubReconciler(t, c.upgrade)
			testutil.Must(t, r.Client.Delete(t.Context(), c.upgrade.DeepCopy()))
			kept, err := r.upgrades(t.Context(), inst, nil)
			if err != nil || (len(kept) == 0) != c.gone {
				t.Errorf("kept %v, %v, want gone: %v", kept, err, c.gone)
			}
			err = r.Client.Get(t.Context(), client.ObjectKeyFromObject(c.upgrade), &meshv1alpha1.MeshUpgrade{})
			if apierrors.IsNotFound(err) != c.gone {
				t.Errorf("read again: %v, want gone: %v", err, c.gone)
			}
			if !c.gone {
				testutil.Must(t, r.records().release(t.Context(), inst))
				if err := r.Client.Get(t.Context(), client.ObjectKeyFromObject(c.upgrade), &meshv1alpha1.MeshUpgrade{}); !apierrors.IsNotFound(err) {
					t.Errorf("deletion of the mesh leaves it: %v", err)
				}
			}
		})
	}
}
