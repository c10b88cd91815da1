package plan_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func TestPinnedRoot(t *testing.T) {
	type option = func(*meshv1alpha1.MeshMember)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	made := func(before time.Duration) option {
		return func(m *meshv1alpha1.MeshMember) { m.CreationTimestamp = metav1.NewTime(now.Add(-before)) }
	}
	ordered := func(roots ...string) option { return func(m *meshv1alpha1.MeshMember) { m.Spec.PinnedRoot = roots } }
	claims := func(root string) option {
		return func(m *meshv1alpha1.MeshMember) { m.Status.Trust.ClaimedRoot = mesh.Claimed(root) }
	}
	serves := func(roots ...string) option {
		return func(m *meshv1alpha1.MeshMember) { m.Status.Trust.RootFingerprints = roots }
	}
	says := func(reason string) option {
		return func(m *meshv1alpha1.MeshMember) {
			m.Status.Conditions = []metav1.Condition{{Type: meshv1alpha1.ConditionTrustRootReady, Reason: reason}}
		}
	}
	leaves := func(m *meshv1alpha1.MeshMember) { m.Spec.Removal = meshv1alpha1.RemovalWhenUnused }
	fresh, old := made(time.Second), made(time.Hour)
	cases := map[string]struct {
		pinned     []string
		east, west *meshv1alpha1.MeshMember
		want       plan.RootPin
	}{
		"a new mesh has no members yet":           {want: plan.RootPin{Unasked: []string{"east", "west"}}},
		"a new mesh waits for every answer":       {east: testutil.Member("east", fresh, claims("")), west: testutil.Member("west", fresh), want: plan.RootPin{Unasked: []string{"west"}}},
		"a mesh of which no member knows a root":  {east: testutil.Member("east", fresh, claims("")), west: testutil.Member("west", fresh, claims(""))},
		"one that is silent does not hold it up":  {east: testutil.Member("east", old, claims("")), west: testutil.Member("west", old)},
		"a mesh of which no member answers":       {east: testutil.Member("east", old), west: testutil.Member("west", old), want: plan.RootPin{Unasked: []string{"east", "west"}}},
		"what is pinned stays":                    {pinned: []string{"a"}, east: testutil.Member("east", claims("b")), want: plan.RootPin{Root: []string{"a"}}},
		"a restore without status: work order":    {east: testutil.Member("east", ordered("a", "b")), west: testutil.Member("west", fresh), want: plan.RootPin{Root: []string{"a", "b"}}},
		"a restore without members: claim":        {east: testutil.Member("east", fresh, claims("a,b")), west: testutil.Member("west", fresh), want: plan.RootPin{Root: []string{"a", "b"}}},
		"a mesh of a former release: its istiod":  {east: testutil.Member("east", old, serves("b", "a")), west: testutil.Member("west", old), want: plan.RootPin{Root: []string{"a", "b"}}},
		"istiod's own root is not the mesh's":     {east: testutil.Member("east", old, serves("x"), says(meshv1alpha1.ReasonRootNotInForce)), west: testutil.Member("west", old, serves("a")), want: plan.RootPin{Root: []string{"a"}}},
		"the claim counts more than istiod":       {east: testutil.Member("east", old, serves("x"), claims("a")), west: testutil.Member("west", old), want: plan.RootPin{Root: []string{"a"}}},
		"members that differ pin nothing":         {east: testutil.Member("east", old, serves("a")), west: testutil.Member("west", old, serves("b")), want: plan.RootPin{Witnesses: map[string][]string{"a": {"east"}, "b": {"west"}}}},
		"the member that leaves is not a witness": {east: testutil.Member("east", old, serves("a")), west: testutil.Member("west", old, serves("b"), leaves), want: plan.RootPin{Root: []string{"a"}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inst := testutil.Installation(testutil.With("east"), testutil.With("west"))
			inst.Status.Trust.PinnedRoot = c.pinned
			var members []meshv1alpha1.MeshMember
			for _, m := range []*meshv1alpha1.MeshMember{c.east, c.west} {
				if m != nil {
					members = append(members, *m)
				}
			}
			if diff := cmp.Diff(c.want, plan.PinnedRoot(inst, members, now)); diff != "" {
				t.Errorf("root (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWorkOrdersCarryThePinnedRoot(t *testing.T) {
	inst := testutil.Installation(testutil.With("east"))
	inst.Status.Trust.PinnedRoot = []string{"a"}
	p, err := plan.Members(inst, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a"}, p.Desired[0].Spec.PinnedRoot); diff != "" {
		t.Errorf("root of the work order (-want +got):\n%s", diff)
	}
}
