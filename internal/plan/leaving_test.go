package plan_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/plan/plantest"
	"github.com/meshfleet/meshfleet/internal/plan/rollout"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// answering gives a member a cluster whose API server answers or does not.
func answering(is bool) func(*meshv1alpha1.MeshMember) {
	status := metav1.ConditionFalse
	if is {
		status = metav1.ConditionTrue
	}
	return func(m *meshv1alpha1.MeshMember) {
		m.Status.ClusterUID, m.Status.ObservedGeneration = "uid", m.Generation
		m.Status.Conditions = []metav1.Condition{{Type: meshv1alpha1.ConditionReachable, Status: status}}
	}
}

func proxies(n int32) func(*meshv1alpha1.MeshMember) {
	return func(m *meshv1alpha1.MeshMember) { m.Status.Removal = &meshv1alpha1.MemberRemovalStatus{Proxies: n} }
}

func TestRemoval(t *testing.T) {
	const wait, orphan, force = meshv1alpha1.DeletionPolicyWaitForMembers, meshv1alpha1.DeletionPolicyOrphan, meshv1alpha1.DeletionPolicyForce
	const now, later = meshv1alpha1.RemovalNow, meshv1alpha1.RemovalWhenUnused
	begun := func(m *meshv1alpha1.MeshMember) { m.Spec.Removal = now }
	older := func(m *meshv1alpha1.MeshMember) { m.Generation++ }
	cases := map[string]struct {
		member *meshv1alpha1.MeshMember
		policy meshv1alpha1.DeletionPolicy
		want   meshv1alpha1.MemberRemoval
	}{
		"nothing is known yet":                          {testutil.Member("west", answering(true)), wait, later},
		"proxies run":                                   {testutil.Member("west", answering(true), proxies(3)), wait, later},
		"no proxy runs":                                 {testutil.Member("west", answering(true), proxies(0)), wait, now},
		"no proxy ran under another work order":         {testutil.Member("west", answering(true), proxies(0), older), wait, later},
		"no proxy ran before it was cut off":            {testutil.Member("west", answering(false), proxies(0)), wait, later},
		"it does not answer":                            {testutil.Member("west", answering(false)), wait, later},
		"it does not answer, and is let go":             {testutil.Member("west", answering(false), proxies(3)), orphan, now},
		"it answers, and would be let go else":          {testutil.Member("west", answering(true), proxies(3)), orphan, later},
		"proxies run, and that does not matter":         {testutil.Member("west", answering(true), proxies(3)), force, now},
		"it was never reached":                          {testutil.Member("west"), wait, now},
		"its removal has begun":                         {testutil.Member("west", answering(true), proxies(3), begun), wait, now},
		"its removal has begun and it was cut off then": {testutil.Member("west", answering(false), begun), wait, now},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := plan.Removal(c.member, c.policy); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestOneMemberIsLetGo wants the annotation to let go of its own member, while it leaves and does not answer.
func TestOneMemberIsLetGo(t *testing.T) {
	orphan := func(m *meshv1alpha1.MeshMember) {
		m.Annotations = map[string]string{meshv1alpha1.AnnotationAction: meshv1alpha1.MemberActionOrphan}
	}
	inst := testutil.Installation(testutil.With("east"))
	east := testutil.Member("east", answering(false), proxies(2), orphan)
	removed := func(members ...*meshv1alpha1.MeshMember) []string {
		t.Helper()
		p, err := plan.Members(inst, testutil.Members(append(members, east)...), nil)
		if err != nil {
			t.Fatal(err)
		}
		return p.Remove
	}
	north := testutil.Member("north", answering(false), proxies(2))
	if got := removed(testutil.Member("west", answering(false), proxies(2), orphan), north); !cmp.Equal(got, []string{"shop-west"}) {
		t.Errorf("removed %v, want west alone", got)
	}
	if got := removed(testutil.Member("west", answering(true), proxies(2), orphan), north); len(got) > 0 {
		t.Errorf("removed %v, want none: west answers and has proxies", got)
	}
	inst.Spec.DeletionPolicy = meshv1alpha1.DeletionPolicyForce
	west := testutil.Member("west", answering(true), proxies(2), orphan)
	if got := removed(west); !cmp.Equal(got, []string{"shop-west"}) {
		t.Errorf("removed %v, want west: the policy is Force", got)
	}
}

// TestAMemberThatWaitsToLeaveStaysAPeer follows a member from the spec until it is taken out.
func TestAMemberThatWaitsToLeaveStaysAPeer(t *testing.T) {
	inst := testutil.Installation(testutil.With("east"), testutil.With("north"))
	inst.Spec.DeletionPolicy = meshv1alpha1.DeletionPolicyOrphan
	west := testutil.Member("west", answering(true), proxies(2))
	peersOf := func(m meshv1alpha1.MeshMember) []string {
		var out []string
		for _, p := range m.Spec.Peers {
			out = append(out, p.Name)
		}
		return out
	}
	type outcome struct {
		East, West []string
		Removal    meshv1alpha1.MemberRemoval
		Policy     meshv1alpha1.DeletionPolicy
		Remove     []string
	}
	planned := func() outcome {
		t.Helper()
		p, err := plan.Members(inst, []meshv1alpha1.MeshMember{*west}, nil)
		if err != nil || len(p.Leaving) != 1 {
			t.Fatalf("%v, leaving %v", err, p.Leaving)
		}
		out := outcome{West: peersOf(p.Leaving[0]), Removal: p.Leaving[0].Spec.Removal, Policy: p.Leaving[0].Spec.DeletionPolicy, Remove: p.Remove}
		if len(p.Desired) > 0 {
			out.East = peersOf(p.Desired[0])
		}
		west.Spec = p.Leaving[0].Spec
		return out
	}
	want := outcome{[]string{"north", "west"}, []string{"east", "north"}, meshv1alpha1.RemovalWhenUnused, meshv1alpha1.DeletionPolicyOrphan, nil}
	if diff := cmp.Diff(want, planned()); diff != "" {
		t.Errorf("while proxies run (-want +got):\n%s", diff)
	}
	proxies(0)(west)
	want = outcome{[]string{"north"}, []string{"east", "north"}, meshv1alpha1.RemovalNow, meshv1alpha1.DeletionPolicyOrphan, []string{"shop-west"}}
	if diff := cmp.Diff(want, planned()); diff != "" {
		t.Errorf("when none runs (-want +got):\n%s", diff)
	}
	// The mesh is deleted now: nobody is named any more.
	inst.DeletionTimestamp = &metav1.Time{Time: testutil.Now}
	west = testutil.Member("west", answering(true), proxies(2))
	want = outcome{nil, nil, meshv1alpha1.RemovalWhenUnused, meshv1alpha1.DeletionPolicyOrphan, nil}
	if diff := cmp.Diff(want, planned()); diff != "" {
		t.Errorf("when the mesh is deleted (-want +got):\n%s", diff)
	}
}

func TestAMemberThatIsPutBackStays(t *testing.T) {
	west := testutil.Member("west", answering(true), proxies(2))
	west.Spec.Removal = meshv1alpha1.RemovalWhenUnused
	p, err := plan.Members(testutil.Installation(testutil.With("west")), []meshv1alpha1.MeshMember{*west}, nil)
	if err != nil || len(p.Leaving) > 0 || len(p.Desired) != 1 || p.Desired[0].Spec.Removal != "" {
		t.Errorf("%v, leaving %v, desired %v", err, p.Leaving, p.Desired)
	}
}

// TestALostMemberIsOrderedWhatItRuns is one whose object is new while its cluster is in the middle of an upgrade.
func TestALostMemberIsOrderedWhatItRuns(t *testing.T) {
	order := &meshv1alpha1.MemberRollout{
		Upgrade: "shop-1", From: plantest.Older, To: plantest.Newer, Stage: meshv1alpha1.StageWorkloads,
		OrderedAt: metav1.NewTime(testutil.Now),
	}
	running := &meshv1alpha1.OrderInForce{
		Revisions: []meshv1alpha1.Revision{plantest.Older, plantest.Newer}, DefaultRevision: plantest.Newer.Name, GatewayRevision: plantest.Newer.Name, Rollout: order,
	}
	inst := testutil.Installation(testutil.With("east"), plantest.Version(plantest.Newer.Version))
	inst.Status.Revision, inst.Status.EffectiveVersion = plantest.Older.Name, plantest.Older.Version
	lost := testutil.Member("east")
	lost.Spec.Revisions, lost.Spec.DefaultRevision, lost.Spec.GatewayRevision = []meshv1alpha1.Revision{plantest.Older}, plantest.Older.Name, plantest.Older.Name
	lost.Status.Recovered = running
	u := &meshv1alpha1.MeshUpgrade{ObjectMeta: metav1.ObjectMeta{Name: "shop-1"}}
	u.Spec.To = meshv1alpha1.RevisionTarget{Revision: plantest.Newer.Name, Version: plantest.Newer.Version}
	members := plan.Recovered([]meshv1alpha1.MeshMember{*lost})
	p, err := plan.Members(inst, members, asIn(inst, &plan.Run{Upgrade: u, Orders: rollout.StandingOrders(u, members), Now: testutil.Now.Add(time.Hour)}))
	if err != nil {
		t.Fatal(err)
	}
	got := plan.InForce(&p.Desired[0].Spec)
	got.Rollout.IgnoreChecks = nil
	if diff := cmp.Diff(running, got); diff != "" {
		t.Errorf("(-running +ordered):\n%s", diff)
	}
	if !mesh.HasServed(lost) {
		t.Error("a member with a record has served")
	}
}

func TestLost(t *testing.T) {
	inst := testutil.Installation(testutil.With("east"), testutil.With("west"))
	u := &meshv1alpha1.MeshUpgrade{}
	u.Spec.Waves = []meshv1alpha1.PlannedWave{{Members: []string{"east", "gone", "west"}}}
	u.Status.StartedAt = &metav1.Time{Time: testutil.Now}
	at := func(d time.Duration) func(*meshv1alpha1.MeshMember) {
		return func(m *meshv1alpha1.MeshMember) { m.CreationTimestamp = metav1.NewTime(testutil.Now.Add(d)) }
	}
	served := func(m *meshv1alpha1.MeshMember) { m.Status.Trust.RootFingerprints = []string{"a"} }
	now := testutil.Now.Add(time.Hour)
	cases := map[string]struct {
		west *meshv1alpha1.MeshMember
		want []string
	}{
		"one that is missing":                      {nil, []string{"west"}},
		"one that serves":                          {testutil.Member("west", served, at(59*time.Minute)), nil},
		"one that is new":                          {testutil.Member("west", at(59*time.Minute)), []string{"west"}},
		"one that is new and joins for long":       {testutil.Member("west", at(30*time.Minute)), nil},
		"one that has never served, but was there": {testutil.Member("west", at(-time.Minute)), nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			members := []meshv1alpha1.MeshMember{*testutil.Member("east", served)}
			if c.west != nil {
				members = append(members, *c.west)
			}
			if diff := cmp.Diff(c.want, plan.Lost(u, inst, members, now)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
