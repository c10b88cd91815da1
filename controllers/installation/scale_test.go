package installation

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestSummaryGrowsWithTheMesh sums a large mesh up in which all is well, and in which no member has seen another. Both look at every
// peer of every member, which is 16 times as much for four times as many members.
func TestSummaryGrowsWithTheMesh(t *testing.T) {
	for name, change := range map[string]func(*meshv1alpha1.MeshMember){
		"all is well":           func(*meshv1alpha1.MeshMember) {},
		"no peer has been seen": func(m *meshv1alpha1.MeshMember) { m.Status.Discovery.Peers = nil },
		"peers are in another order": func(m *meshv1alpha1.MeshMember) {
			m.Status.Discovery.Peers = append(m.Status.Discovery.Peers[1:], m.Status.Discovery.Peers[0])
		},
	} {
		t.Run(name, func(t *testing.T) {
			testutil.CheckGrowth(t, 8, func(size int) func() {
				inst, members := testutil.Large(size)
				for i := range members {
					change(&members[i])
				}
				return func() {
					summarise(inst, members)
					aggregate(inst, members)
				}
			})
		})
	}
}

// TestWritingNothingGrowsWithTheMesh compares the work orders of a large mesh with what there is.
func TestWritingNothingGrowsWithTheMesh(t *testing.T) {
	testutil.CheckGrowth(t, 5, func(size int) func() {
		inst, members := testutil.Large(size)
		p, err := plan.Members(inst, members, nil)
		testutil.Must(t, err)
		for i := range members {
			members[i].Spec, members[i].Labels = *p.Desired[i].Spec.DeepCopy(), p.Desired[i].Labels
		}
		return func() {
			// Without a client, any read or write would end the test.
			testutil.Must(t, (&Reconciler{}).writeMembers(t.Context(), inst, p, members))
		}
	})
}

// TestAPassLeavesTheCacheAlone lets the cache hand out its own objects, as it does where it is asked not to copy them, and wants each to be
// as before after passes that create, change, restore and remove members.
func TestAPassLeavesTheCacheAlone(t *testing.T) {
	inst := testutil.Installation(testutil.With("east"), testutil.With("west"), testutil.With("north"))
	inst.Finalizers = []string{meshv1alpha1.Finalizer}
	owner := *metav1.NewControllerRef(inst, meshv1alpha1.GroupVersion.WithKind("MeshInstallation"))
	member := func(name string, options ...testutil.MemberOption) *meshv1alpha1.MeshMember {
		m := testutil.Member(name, append([]testutil.MemberOption{testutil.Reached(1), testutil.Root("aa"), testutil.Ready()}, options...)...)
		m.Finalizers, m.OwnerReferences = []string{meshv1alpha1.Finalizer}, []metav1.OwnerReference{owner}
		return m
	}
	store := fake.NewClientBuilder().WithScheme(testutil.HubScheme(t)).
		WithObjects(inst, member("east"), member("west"), member("former"), member("north", func(m *meshv1alpha1.MeshMember) {
			// Someone deletes it by hand.
			m.DeletionTimestamp = &metav1.Time{Time: testutil.Now}
		})).
		WithStatusSubresource(&meshv1alpha1.MeshInstallation{}, &meshv1alpha1.MeshMember{}).Build()
	cache := sharedCache{}
	shared := interceptor.NewClient(store, interceptor.Funcs{List: cache.list})
	r := &Reconciler{Client: shared, Events: &events.FakeRecorder{}, Now: func() time.Time { return testutil.Now }}
	for i, change := range []func(*meshv1alpha1.MeshInstallation){
		func(*meshv1alpha1.MeshInstallation) {},
		func(inst *meshv1alpha1.MeshInstallation) {
			inst.Spec.DataPlane.Tags = []meshv1alpha1.RevisionTag{{Name: "prod"}}
		},
		func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Members = inst.Spec.Members[:1] },
		func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.DeletionPolicy = meshv1alpha1.DeletionPolicyForce },
	} {
		now := &meshv1alpha1.MeshInstallation{}
		testutil.Must(t, store.Get(t.Context(), client.ObjectKeyFromObject(inst), now))
		change(now)
		testutil.Must(t, store.Update(t.Context(), now))
		for range 3 {
			if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(inst)}); err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
			if diff := cache.changed(); diff != "" {
				t.Fatalf("step %d changes the cache (-want +got):\n%s", i, diff)
			}
		}
	}
	if cache.handedOut == 0 {
		t.Error("nothing was handed out without a copy")
	}
}

// sharedCache has lists of MeshMembers as they were handed out, and copies of them.
type sharedCache struct {
	out, copies []*meshv1alpha1.MeshMemberList
	handedOut   int
}

// list hands out what the caller shares with the cache from then on.
func (s *sharedCache) list(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
	if err := c.List(ctx, list, opts...); err != nil {
		return err
	}
	members, ok := list.(*meshv1alpha1.MeshMemberList)
	options := (&client.ListOptions{}).ApplyOptions(opts)
	if !ok || options.UnsafeDisableDeepCopy == nil || !*options.UnsafeDisableDeepCopy {
		return nil
	}
	// The caller's list is a copy of the structs only: its pointers, maps and lists are those of the cache.
	own := &meshv1alpha1.MeshMemberList{Items: append([]meshv1alpha1.MeshMember{}, members.Items...)}
	s.out, s.copies, s.handedOut = append(s.out, own), append(s.copies, own.DeepCopy()), s.handedOut+1
	return nil
}

func (s *sharedCache) changed() string {
	for i := range s.out {
		if diff := cmp.Diff(s.copies[i], s.out[i]); diff != "" {
			return fmt.Sprintf("list %d: %s", i, diff)
		}
	}
	return ""
}
