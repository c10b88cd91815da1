package installation

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
	"github.com/meshfleet/meshfleet/internal/status"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// heldFor lets members of a spec be held for some minutes from now.
func heldFor(minutes int, names ...string) func(*meshv1alpha1.MeshInstallation) {
	return func(inst *meshv1alpha1.MeshInstallation) {
		for i := range inst.Spec.Members {
			if m := &inst.Spec.Members[i]; slices.Contains(names, m.Name) {
				m.Hold = &meshv1alpha1.Hold{Reason: "not this month", Until: metav1.NewTime(testutil.Now.Add(time.Duration(minutes) * time.Minute))}
			}
		}
	}
}

// TestHoldsCurrent wants the members with their holds in the condition, and another look when the next hold is over.
func TestHoldsCurrent(t *testing.T) {
	type told struct {
		Kind    phase.Kind
		Reason  string
		Message string
		After   time.Duration
	}
	for name, c := range map[string]struct {
		options []func(*meshv1alpha1.MeshInstallation)
		want    told
	}{
		"no hold": {want: told{Message: "no member is held"}},
		"one":     {options: []func(*meshv1alpha1.MeshInstallation){heldFor(7, "west")}, want: told{Message: "1 members are held: west (until 2026-03-01T12:07:00Z: not this month)", After: 7 * time.Minute}},
		"one for longer than agreed, one not": {
			options: []func(*meshv1alpha1.MeshInstallation){heldFor(-1, "west"), heldFor(9, "east")},
			want: told{Kind: phase.Wait, Reason: meshv1alpha1.ReasonHoldOverdue, After: 9 * time.Minute,
				Message: "1 of 2 members that are held have been held for longer than was agreed, and stay so: west (until 2026-03-01T11:59:00Z: not this month); remove " +
					"spec.members[].hold, or write a later time"}},
	} {
		t.Run(name, func(t *testing.T) {
			inst := testutil.Installation(append([]func(*meshv1alpha1.MeshInstallation){testutil.With("east"), testutil.With("west")}, c.options...)...)
			if c.want.Reason == "" {
				c.want.Reason = meshv1alpha1.ReasonReady
			}
			o := holds(inst, testutil.Now)
			got := told{o.Result.Kind, o.Result.Reason, o.Result.Text(), o.Result.After}
			if diff := cmp.Diff(c.want, got); diff != "" || !o.Aside || o.Type != meshv1alpha1.ConditionHoldsCurrent {
				t.Errorf("%s, aside %t (-want +got):\n%s", o.Type, o.Aside, diff)
			}
		})
	}
}

// TestAMeshThatIsRestoredBesideAHeldMember wants the revision at which members join to be that of the others, and nothing to start.
func TestAMeshThatIsRestoredBesideAHeldMember(t *testing.T) {
	inst := testutil.Installation(testutil.With("east"), testutil.With("west"), heldFor(60, "east"))
	runs := func(name, version, revision string) *meshv1alpha1.MeshMember {
		return testutil.Member(name, testutil.Reached(1), func(m *meshv1alpha1.MeshMember) {
			m.Spec.Revisions, m.Spec.DefaultRevision = []meshv1alpha1.Revision{{Name: revision, Version: version}}, revision
			m.Status.Recovered = &meshv1alpha1.OrderInForce{Revisions: m.Spec.Revisions, DefaultRevision: revision}
		})
	}
	inst.Spec.Version = "1.29.1"
	members := testutil.Members(runs("east", "1.28.3", "1-28-3"), runs("west", "1.29.1", "1-29-1"))
	for i := range members {
		r := &members[i].Spec.Revisions[0]
		r.Rendering = upgrade.RenderingOf(*r)
	}
	summarise(inst, members)
	if inst.Status.Revision != "1-29-1" || inst.Status.EffectiveVersion != "1.29.1" {
		t.Errorf("the mesh runs %s (%s)", inst.Status.Revision, inst.Status.EffectiveVersion)
	}
	if diff := cmp.Diff(meshv1alpha1.Sample{Count: 1, Names: []string{"east"}}, inst.Status.Members.Held); diff != "" {
		t.Errorf("held (-want +got):\n%s", diff)
	}
	r := hubReconciler(t)
	run, told, err := r.upgrade(t.Context(), inst, members, false)
	if run != nil || len(told) > 0 || err != nil {
		t.Errorf("run %+v, told %+v, error %v, want nothing to do", run, told, err)
	}
	want := []meshv1alpha1.RevisionMembers{{Name: "1-28-3", Version: "1.28.3", Members: 1}, {Name: "1-29-1", Version: "1.29.1", Members: 1}}
	if diff := cmp.Diff(want, inst.Status.Revisions); diff != "" {
		t.Errorf("revisions (-want +got):\n%s", diff)
	}
	// A mesh of which all members are held has no other witness.
	inst.Status.Revision, inst.Status.EffectiveVersion = "", ""
	heldFor(60, "west")(inst)
	if summarise(inst, members); inst.Status.Revision != "1-28-3" {
		t.Errorf("the mesh runs %q, want what its first member runs", inst.Status.Revision)
	}
}

// TestAMeshThatIsHeldSaysSo wants a mesh in which nothing can start to name the holds, and not to take the target for what it runs.
func TestAMeshThatIsHeldSaysSo(t *testing.T) {
	s := newSteering(t)
	heldFor(60, "east", "west")(s.inst)
	s.inst.Status.Hash = "former"
	got := s.pass()
	if got.Kind != phase.Stalled || got.Reason != meshv1alpha1.ReasonMembersHeld || !strings.Contains(got.Text(), "east (until") || len(s.records()) > 0 {
		t.Errorf("people are told: %s: %s; %d records", got.Reason, got.Text(), len(s.records()))
	}
	if s.inst.Status.Hash != "former" {
		t.Errorf("the mesh is said to run %s", s.inst.Status.Hash)
	}
}

// TestAHoldThatIsSetMidRunIsHeard wants the next step of an upgrade to leave out a member that has not started.
func TestAHoldThatIsSetMidRunIsHeard(t *testing.T) {
	s := newSteering(t)
	run := func() map[string]meshv1alpha1.Stage {
		t.Helper()
		run, _, err := s.r.upgrade(t.Context(), s.inst, s.members, false)
		testutil.Must(t, err)
		return run.Orders
	}
	preflight := meshv1alpha1.StagePreflight
	if diff := cmp.Diff(map[string]meshv1alpha1.Stage{"east": preflight, "west": preflight}, run()); diff != "" {
		t.Errorf("orders (-want +got):\n%s", diff)
	}
	heldFor(60, "west")(s.inst)
	if diff := cmp.Diff(map[string]meshv1alpha1.Stage{"east": preflight}, run()); diff != "" {
		t.Errorf("orders with a hold (-want +got):\n%s", diff)
	}
	if u := s.records()[0]; !strings.Contains(u.Status.Message, "held: west") || u.Status.Waves[1].Total != 0 {
		t.Errorf("message %q, waves %+v", u.Status.Message, u.Status.Waves)
	}
}

// TestHoldsLeaveTheConditionsOfTheMesh wants Ready not to depend on a hold that is overdue.
func TestHoldsLeaveTheConditionsOfTheMesh(t *testing.T) {
	inst := testutil.Installation(testutil.With("east"), heldFor(-60, "east"))
	outcomes := append(aggregate(inst, testutil.Members(testutil.Member("east", testutil.Ready()))), holds(inst, testutil.Now))
	if worst := status.Worst(outcomes).Result; worst.Kind != phase.Done {
		t.Errorf("Ready follows from %+v", worst)
	}
}
