package upgrade_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/plan/plantest"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func gates(names ...string) plantest.Option {
	return func(inst *meshv1alpha1.MeshInstallation) {
		for _, name := range names {
			inst.Spec.Upgrade.Gates = append(inst.Spec.Upgrade.Gates, meshv1alpha1.Gate{Name: name, DryRun: true})
		}
	}
}

func gatewayAnnotation(inst *meshv1alpha1.MeshInstallation) {
	inst.Spec.EastWestGateway.Service.Annotations = map[string]string{"cloud.example/internal": "true"}
}

func memberGateway(inst *meshv1alpha1.MeshInstallation) {
	inst.Spec.Members[1].EastWestGateway = &meshv1alpha1.MemberGateway{Service: meshv1alpha1.GatewayService{Annotations: map[string]string{"cloud.example/internal": "true"}}}
}

func gatewayReplicas(inst *meshv1alpha1.MeshInstallation) {
	inst.Spec.EastWestGateway.Replicas = meshv1alpha1.ReplicaRange{Min: 3, Max: 4}
	inst.Spec.Members[1].EastWestGateway = &meshv1alpha1.MemberGateway{Replicas: meshv1alpha1.MemberReplicas{Min: 6}}
}

// alsoRuns adds a revision to a member beside what it runs.
func alsoRuns(members []meshv1alpha1.MeshMember, i int, r meshv1alpha1.Revision) []meshv1alpha1.MeshMember {
	members[i].Spec.Revisions = append(members[i].Spec.Revisions, r)
	return members
}

func TestTarget(t *testing.T) {
	newValues := plantest.SharedValues(plantest.Values{"autoscaleMin": 3})
	first := plantest.Serving(plantest.Made(plantest.Shop()))
	for i := range first {
		first[i].Spec.Revisions[0].Name, first[i].Spec.DefaultRevision = "1-29-1-vabcde", "1-29-1-vabcde"
	}
	cases := map[string]struct {
		inst         *meshv1alpha1.MeshInstallation
		members      []meshv1alpha1.MeshMember
		wantRevision string
		wantChanged  bool
	}{
		"a mesh that does not exist yet":       {inst: plantest.Shop(), wantRevision: "1-29-1"},
		"what runs is what the spec says":      {inst: plantest.Shop(), members: plantest.Serving(plantest.Made(plantest.Shop())), wantRevision: "1-29-1"},
		"what runs keeps the name it got":      {inst: plantest.Shop(), members: first, wantRevision: "1-29-1-vabcde"},
		"another version":                      {inst: plantest.Shop(plantest.Version("1.30.0")), members: plantest.Serving(plantest.Made(plantest.Shop())), wantRevision: "1-30-0", wantChanged: true},
		"an older version":                     {inst: plantest.Shop(plantest.Version("1.28.3")), members: plantest.Serving(plantest.Made(plantest.Shop())), wantRevision: "1-28-3", wantChanged: true},
		"another version while istiod is down": {inst: plantest.Shop(plantest.Version("1.30.0")), members: plantest.Down(plantest.Made(plantest.Shop())), wantRevision: "1-30-0", wantChanged: true},
		"other values":                         {inst: plantest.Shop(newValues), members: plantest.Serving(plantest.Made(plantest.Shop())), wantRevision: "1-29-1-v*", wantChanged: true},
		"other values of one member": {
			inst: plantest.Shop(plantest.MemberValues(1, plantest.Values{"autoscaleMin": 3})), members: plantest.Serving(plantest.Made(plantest.Shop())), wantRevision: "1-29-1-v*", wantChanged: true},
		"other values before anything has served": {inst: plantest.Shop(newValues), members: plantest.Made(plantest.Shop()), wantRevision: "1-29-1-v*"},
		"back to the first values":                {inst: plantest.Shop(), members: plantest.Serving(plantest.Made(plantest.Shop(newValues))), wantRevision: "1-29-1", wantChanged: true},
		"another version and other values at once": {
			inst: plantest.Shop(newValues, plantest.Version("1.30.0")), members: plantest.Serving(plantest.Made(plantest.Shop())), wantRevision: "1-30-0-v*", wantChanged: true},
		"other gateway settings": {
			inst: plantest.Shop(gatewayAnnotation), members: plantest.Serving(plantest.Made(plantest.Shop())), wantRevision: "1-29-1-v*", wantChanged: true},
		"other gateway settings of one member": {
			inst: plantest.Shop(memberGateway), members: plantest.Serving(plantest.Made(plantest.Shop())), wantRevision: "1-29-1-v*", wantChanged: true},
		"other replicas of the gateway": {
			inst: plantest.Shop(gatewayReplicas), members: plantest.Serving(plantest.Made(plantest.Shop())), wantRevision: "1-29-1"},
		"the name is taken by a former try with other values in one member": {
			inst:         plantest.Shop(newValues, plantest.Version("1.30.0")),
			members:      alsoRuns(plantest.Serving(plantest.Made(plantest.Shop())), 1, meshv1alpha1.Revision{Name: "1-30-0", Version: "1.30.0"}),
			wantRevision: "1-30-0-v*", wantChanged: true},
		"the name is that of the same content in one member": {
			inst:         plantest.Shop(plantest.Version("1.30.0")),
			members:      alsoRuns(plantest.Serving(plantest.Made(plantest.Shop())), 1, meshv1alpha1.Revision{Name: "1-30-0", Version: "1.30.0"}),
			wantRevision: "1-30-0", wantChanged: true},
		"values in another order": {
			inst: plantest.Shop(plantest.RawValues(`{"a": 1, "b": {"c": 2, "d": 3}}`)), members: plantest.Serving(plantest.Made(plantest.Shop(plantest.RawValues(`{"b":{"d":3,"c":2},"a":1}`)))),
			wantRevision: "1-29-1-v*"},
		"a member that joins": {
			inst: plantest.Shop(testutil.With("north")), members: plantest.Serving(plantest.Made(plantest.Shop())), wantRevision: "1-29-1"},
		"a member that has left runs something else": {
			inst: testutil.Installation(testutil.With("east")), members: plantest.Serving(plantest.Made(plantest.Shop(plantest.MemberValues(1, plantest.Values{"autoscaleMin": 3})))),
			wantRevision: "1-29-1-v9b4d824e"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			to, changed, err := upgrade.Target(c.inst, c.members)
			if err != nil {
				t.Fatal(err)
			}
			want := to
			want.Revision, want.Version = c.wantRevision, c.inst.Spec.Version
			if strings.HasSuffix(want.Revision, "*") {
				want.Revision = strings.TrimSuffix(want.Revision, "*") + to.Hash[:8]
			}
			if diff := cmp.Diff(want, to); diff != "" {
				t.Errorf("target (-want +got):\n%s", diff)
			}
			if changed != c.wantChanged {
				t.Errorf("changed is %t, want %t", changed, c.wantChanged)
			}
			if len(to.Hash) != 10 {
				t.Errorf("hash is %q, want ten characters", to.Hash)
			}
		})
	}
}

func TestTargetHash(t *testing.T) {
	base := plantest.Shop(plantest.SharedValues(plantest.Values{"autoscaleMin": 3}))
	cases := map[string]struct {
		inst     *meshv1alpha1.MeshInstallation
		wantSame bool
	}{
		"the same spec again":                        {inst: plantest.Shop(plantest.SharedValues(plantest.Values{"autoscaleMin": 3})), wantSame: true},
		"a member that says what all say":            {inst: plantest.Shop(plantest.SharedValues(plantest.Values{"autoscaleMin": 3}), plantest.MemberValues(0, plantest.Values{"autoscaleMin": 3})), wantSame: true},
		"a member without values of its own joins":   {inst: plantest.Shop(plantest.SharedValues(plantest.Values{"autoscaleMin": 3}), testutil.With("north")), wantSame: true},
		"something that is no control plane's":       {inst: plantest.Shop(plantest.SharedValues(plantest.Values{"autoscaleMin": 3}), plantest.Tags("prod")), wantSame: true},
		"other gates":                                {inst: plantest.Shop(plantest.SharedValues(plantest.Values{"autoscaleMin": 3}), gates("ConfigValid")), wantSame: true},
		"another version":                            {inst: plantest.Shop(plantest.SharedValues(plantest.Values{"autoscaleMin": 3}), plantest.Version("1.28.3"))},
		"other values":                               {inst: plantest.Shop(plantest.SharedValues(plantest.Values{"autoscaleMin": 4}))},
		"no values":                                  {inst: plantest.Shop()},
		"other values of one member":                 {inst: plantest.Shop(plantest.SharedValues(plantest.Values{"autoscaleMin": 3}), plantest.MemberValues(0, plantest.Values{"autoscaleMin": 4}))},
		"the same values, but of every member apart": {inst: plantest.Shop(plantest.MemberValues(0, plantest.Values{"autoscaleMin": 3}), plantest.MemberValues(1, plantest.Values{"autoscaleMin": 3}))},
		"another attempt":                            {inst: plantest.Shop(plantest.SharedValues(plantest.Values{"autoscaleMin": 3}), plantest.Attempt(1))},
	}
	want, _, err := upgrade.Target(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, _, err := upgrade.Target(c.inst, nil)
			if err != nil {
				t.Fatal(err)
			}
			if isSame := got.Hash == want.Hash; isSame != c.wantSame {
				t.Errorf("hash is %s, that of the base is %s, want the same: %t", got.Hash, want.Hash, c.wantSame)
			}
		})
	}
}

func TestTargetOfAnotherAttemptKeepsTheRevision(t *testing.T) {
	members := plantest.Serving(plantest.Made(plantest.Shop()))
	change := plantest.SharedValues(plantest.Values{"autoscaleMin": 3})
	first, _, err := upgrade.Target(plantest.Shop(change), members)
	if err != nil {
		t.Fatal(err)
	}
	for n := range int32(3) {
		again, _, err := upgrade.Target(plantest.Shop(change, plantest.Attempt(n+1)), members)
		if err != nil {
			t.Fatal(err)
		}
		if again.Revision != first.Revision || again.Hash == first.Hash {
			t.Errorf("attempt %d: target is %+v after %+v, want the same revision with another hash", n+1, again, first)
		}
	}
}

// TestANameStandsForOneContent names contents one after the other, with nothing left of those before, as after their removal or a
// restore: each has a name of its own, and gets the same one again.
func TestANameStandsForOneContent(t *testing.T) {
	contents := map[string]plantest.Option{
		"nothing set":         func(*meshv1alpha1.MeshInstallation) {},
		"values":              plantest.SharedValues(plantest.Values{"autoscaleMin": 3}),
		"other values":        plantest.SharedValues(plantest.Values{"autoscaleMin": 4}),
		"values of a member":  plantest.MemberValues(0, plantest.Values{"autoscaleMin": 3}),
		"values of another":   plantest.MemberValues(1, plantest.Values{"autoscaleMin": 3}),
		"gateway":             gatewayAnnotation,
		"gateway of a member": memberGateway,
		"gateway in place": func(i *meshv1alpha1.MeshInstallation) {
			i.Spec.EastWestGateway.Replacement = meshv1alpha1.GatewayReplacementInPlace
		},
		"values of the gateway": func(i *meshv1alpha1.MeshInstallation) {
			i.Spec.EastWestGateway.Values = testutil.JSON(plantest.Values{"autoscaleMin": 3})
		},
		"another release": plantest.Version("1.28.3"),
	}
	named := map[string]string{}
	for content, set := range contents {
		first, _, err := upgrade.Target(plantest.Shop(set), nil)
		if err != nil {
			t.Fatal(err)
		}
		if other, isUsed := named[first.Revision]; isUsed {
			t.Errorf("%s has the name %s of %s", content, first.Revision, other)
		}
		named[first.Revision] = content
		for running, runs := range contents {
			to, _, err := upgrade.Target(plantest.Shop(set), plantest.Serving(plantest.Made(plantest.Shop(runs))))
			if err != nil {
				t.Fatal(err)
			}
			if to.Revision != first.Revision {
				t.Errorf("%s is called %s while %s runs, and %s else", content, to.Revision, running, first.Revision)
			}
		}
	}
}

func TestTargetRefuses(t *testing.T) {
	for name, inst := range map[string]*meshv1alpha1.MeshInstallation{
		"a version that gives no name": plantest.Shop(plantest.Version("one.Two")),
		"a version that is too long":   plantest.Shop(plantest.Version(strings.Repeat("1", 57))),
		"values that are no map":       plantest.Shop(plantest.MemberValues(0, "text")),
	} {
		t.Run(name, func(t *testing.T) {
			if to, _, err := upgrade.Target(inst, nil); err == nil {
				t.Errorf("target is %+v, want an error", to)
			}
		})
	}
}

// TestScope takes everything back where the scope names no part, also for objects of an operator that called that Run.
func TestScope(t *testing.T) {
	for given, want := range map[meshv1alpha1.RollbackScope]meshv1alpha1.RollbackScope{
		"": meshv1alpha1.RollbackScopeUpgrade, "Run": meshv1alpha1.RollbackScopeUpgrade, "Upgrade": meshv1alpha1.RollbackScopeUpgrade,
		"Member": meshv1alpha1.RollbackScopeMember, "Wave": meshv1alpha1.RollbackScopeWave,
	} {
		if got := upgrade.Scope(given); got != want {
			t.Errorf("scope %q is %q, want %q", given, got, want)
		}
	}
}
