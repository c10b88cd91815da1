package plan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func attempt(n int32) meshOption {
	return func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Upgrade.Attempt = n }
}

func gates(names ...string) meshOption {
	return func(inst *meshv1alpha1.MeshInstallation) {
		for _, name := range names {
			inst.Spec.Upgrade.Gates = append(inst.Spec.Upgrade.Gates, meshv1alpha1.Gate{Name: name, DryRun: true})
		}
	}
}

// alsoRuns adds a revision to a member beside what it runs.
func alsoRuns(members []meshv1alpha1.MeshMember, i int, r meshv1alpha1.Revision) []meshv1alpha1.MeshMember {
	members[i].Spec.Revisions = append(members[i].Spec.Revisions, r)
	return members
}

func TestTarget(t *testing.T) {
	newValues := sharedValues(values{"autoscaleMin": 3})
	first := serving(made(shop()))
	for i := range first {
		first[i].Spec.Revisions[0].Name, first[i].Spec.DefaultRevision = "1-29-1-vabcde", "1-29-1-vabcde"
	}
	cases := map[string]struct {
		inst         *meshv1alpha1.MeshInstallation
		members      []meshv1alpha1.MeshMember
		wantRevision string
		wantChanged  bool
	}{
		"a mesh that does not exist yet":       {inst: shop(), wantRevision: "1-29-1"},
		"what runs is what the spec says":      {inst: shop(), members: serving(made(shop())), wantRevision: "1-29-1"},
		"what runs keeps the name it got":      {inst: shop(), members: first, wantRevision: "1-29-1-vabcde"},
		"another version":                      {inst: shop(version("1.30.0")), members: serving(made(shop())), wantRevision: "1-30-0", wantChanged: true},
		"an older version":                     {inst: shop(version("1.28.3")), members: serving(made(shop())), wantRevision: "1-28-3", wantChanged: true},
		"another version while istiod is down": {inst: shop(version("1.30.0")), members: down(made(shop())), wantRevision: "1-30-0", wantChanged: true},
		"other values":                         {inst: shop(newValues), members: serving(made(shop())), wantRevision: "1-29-1-v*", wantChanged: true},
		"other values of one member": {
			inst: shop(memberValues(1, values{"autoscaleMin": 3})), members: serving(made(shop())), wantRevision: "1-29-1-v*", wantChanged: true},
		"other values before anything has served": {inst: shop(newValues), members: made(shop()), wantRevision: "1-29-1-v*"},
		"back to the first values":                {inst: shop(), members: serving(made(shop(newValues))), wantRevision: "1-29-1-v*", wantChanged: true},
		"another version and other values at once": {
			inst: shop(newValues, version("1.30.0")), members: serving(made(shop())), wantRevision: "1-30-0", wantChanged: true},
		"the name is taken by a former try with other values in one member": {
			inst:         shop(newValues, version("1.30.0")),
			members:      alsoRuns(serving(made(shop())), 1, meshv1alpha1.Revision{Name: "1-30-0", Version: "1.30.0"}),
			wantRevision: "1-30-0-v*", wantChanged: true},
		"the name is that of the same content in one member": {
			inst:         shop(version("1.30.0")),
			members:      alsoRuns(serving(made(shop())), 1, meshv1alpha1.Revision{Name: "1-30-0", Version: "1.30.0"}),
			wantRevision: "1-30-0", wantChanged: true},
		"values in another order": {
			inst: shop(rawValues(`{"a": 1, "b": {"c": 2, "d": 3}}`)), members: serving(made(shop(rawValues(`{"b":{"d":3,"c":2},"a":1}`)))),
			wantRevision: "1-29-1"},
		"a member that joins": {
			inst: shop(testutil.With("north")), members: serving(made(shop())), wantRevision: "1-29-1"},
		"a member that has left runs something else": {
			inst: testutil.Installation(testutil.With("east")), members: serving(made(shop(memberValues(1, values{"autoscaleMin": 3})))),
			wantRevision: "1-29-1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			to, changed, err := Target(c.inst, c.members)
			if err != nil {
				t.Fatal(err)
			}
			want := to
			want.Revision, want.Version = c.wantRevision, c.inst.Spec.Version
			if strings.HasSuffix(want.Revision, "*") {
				want.Revision = strings.TrimSuffix(want.Revision, "*") + to.Hash[:5]
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
	base := shop(sharedValues(values{"autoscaleMin": 3}))
	cases := map[string]struct {
		inst     *meshv1alpha1.MeshInstallation
		wantSame bool
	}{
		"the same spec again":                        {inst: shop(sharedValues(values{"autoscaleMin": 3})), wantSame: true},
		"a member that says what all say":            {inst: shop(sharedValues(values{"autoscaleMin": 3}), memberValues(0, values{"autoscaleMin": 3})), wantSame: true},
		"a member without values of its own joins":   {inst: shop(sharedValues(values{"autoscaleMin": 3}), testutil.With("north")), wantSame: true},
		"something that is no control plane's":       {inst: shop(sharedValues(values{"autoscaleMin": 3}), tags("prod")), wantSame: true},
		"other gates":                                {inst: shop(sharedValues(values{"autoscaleMin": 3}), gates("ConfigValid")), wantSame: true},
		"another version":                            {inst: shop(sharedValues(values{"autoscaleMin": 3}), version("1.28.3"))},
		"other values":                               {inst: shop(sharedValues(values{"autoscaleMin": 4}))},
		"no values":                                  {inst: shop()},
		"other values of one member":                 {inst: shop(sharedValues(values{"autoscaleMin": 3}), memberValues(0, values{"autoscaleMin": 4}))},
		"the same values, but of every member apart": {inst: shop(memberValues(0, values{"autoscaleMin": 3}), memberValues(1, values{"autoscaleMin": 3}))},
		"another attempt":                            {inst: shop(sharedValues(values{"autoscaleMin": 3}), attempt(1))},
	}
	want, _, err := Target(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, _, err := Target(c.inst, nil)
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
	members := serving(made(shop()))
	change := sharedValues(values{"autoscaleMin": 3})
	first, _, err := Target(shop(change), members)
	if err != nil {
		t.Fatal(err)
	}
	for n := range int32(3) {
		again, _, err := Target(shop(change, attempt(n+1)), members)
		if err != nil {
			t.Fatal(err)
		}
		if again.Revision != first.Revision || again.Hash == first.Hash {
			t.Errorf("attempt %d: target is %+v after %+v, want the same revision with another hash", n+1, again, first)
		}
	}
}

func TestTargetRefuses(t *testing.T) {
	for name, inst := range map[string]*meshv1alpha1.MeshInstallation{
		"a version that gives no name": shop(version("one.Two")),
		"a version that is too long":   shop(version(strings.Repeat("1", 57))),
		"values that are no map":       shop(memberValues(0, "text")),
	} {
		t.Run(name, func(t *testing.T) {
			if to, _, err := Target(inst, nil); err == nil {
				t.Errorf("target is %+v, want an error", to)
			}
		})
	}
}
