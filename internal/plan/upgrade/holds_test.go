package upgrade_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/plan/plantest"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// held are members of a spec with a hold.
func held(names ...string) plantest.Option {
	return func(inst *meshv1alpha1.MeshInstallation) {
		for i := range inst.Spec.Members {
			if m := &inst.Spec.Members[i]; slices.Contains(names, m.Name) {
				m.Hold = &meshv1alpha1.Hold{Reason: "Kubernetes is too old", Until: metav1.NewTime(testutil.Now.Add(time.Hour))}
			}
		}
	}
}

// TestNextBesideMembersThatAreHeld wants upgrades to be about the others, and each obstacle by a hold to be named.
func TestNextBesideMembersThatAreHeld(t *testing.T) {
	const isHeld = "west (until 2026-03-01T13:00:00Z: Kubernetes is too old)"
	waves := func(w ...meshv1alpha1.Wave) plantest.Option {
		return func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Upgrade.Waves = w }
	}
	step := func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Upgrade.MaxMinorStep = 1 }
	old := func(name, kubernetes string) func([]meshv1alpha1.MeshMember) {
		return func(members []meshv1alpha1.MeshMember) {
			for i := range members {
				if members[i].Spec.Cluster == name {
					members[i].Status.KubernetesVersion = kubernetes
				}
			}
		}
	}
	bad := plantest.MemberValues(1, plantest.Values{"compatibilityVersion": "1.0"})
	cases := map[string]struct {
		options []plantest.Option
		set     func([]meshv1alpha1.MeshMember)
		// start are the target, its waves and where it comes from. Empty: nothing starts, for the reason and the words.
		start, reason string
		words         []string
	}{
		"nothing is wanted": {options: []plantest.Option{held("west")}},
		"one is held":       {options: []plantest.Option{plantest.Version("1.29.1"), held("west")}, start: "1-29-1 from 1-28-3: first east"},
		"no member is held": {options: []plantest.Option{plantest.Version("1.29.1")}, start: "1-29-1 from 1-28-3: first east, rest west"},
		"all are held": {options: []plantest.Option{plantest.Version("1.29.1"), held("east", "west")}, reason: meshv1alpha1.ReasonMembersHeld,
			words: []string{"1-29-1", "east (until", isHeld, "spec.members[].hold"}},
		"all are held, and run what is wanted": {options: []plantest.Option{held("east", "west")}},
		"a member that is held need not be in a wave": {
			options: []plantest.Option{plantest.Version("1.29.1"), held("west"), waves(meshv1alpha1.Wave{Name: "a", MemberSelector: selecting("none")}, meshv1alpha1.Wave{Name: "b"})},
			start:   "1-29-1 from 1-28-3: a , b east"},
		"the Kubernetes of a member that is held": {options: []plantest.Option{plantest.Version("1.29.1"), held("west")}, set: old("west", "v1.20.0"), start: "1-29-1 from 1-28-3: first east"},
		"the Kubernetes of another member": {options: []plantest.Option{plantest.Version("1.29.1"), held("west")}, set: old("east", "v1.20.0"),
			reason: meshv1alpha1.ReasonUpgradeBlocked, words: []string{"east"}},
		"values of a member that is held": {options: []plantest.Option{plantest.Version("1.29.1"), held("west"), bad}, start: "1-29-1-v* from 1-28-3: first east"},
		"values of a member that is not":  {options: []plantest.Option{plantest.Version("1.29.1"), bad}, reason: meshv1alpha1.ReasonUpgradeBlocked, words: []string{"west"}},
		"two minor versions ahead": {options: []plantest.Option{plantest.Version("1.30.4"), held("west")}, reason: meshv1alpha1.ReasonUpgradeBlocked,
			words: []string{"member " + isHeld + " is held at Istio 1.28.3", "more than 1 minor version from 1.30.4", "remove its hold"}},
		"two minor versions ahead, by steps": {options: []plantest.Option{plantest.Version("1.30.4"), held("west"), step}, reason: meshv1alpha1.ReasonUpgradeBlocked,
			words: []string{isHeld}},
		"too far for the others, too": {options: []plantest.Option{plantest.Version("1.31.7"), held("west")}, reason: meshv1alpha1.ReasonUpgradeBlocked, words: []string{isHeld, "1.31.7 cannot be installed"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inst := plantest.Shop(plantest.Version("1.28.3"), plantest.Running("1.28.3"))
			members := plantest.Serving(plantest.Made(inst))
			for _, o := range c.options {
				o(inst)
			}
			if c.set != nil {
				c.set(members)
			}
			next := upgrade.Next(inst, members, nil)
			got := ""
			if next.Start != nil {
				got = describeStart(next.Start)
			}
			if !matches(c.start, got) || next.Reason != c.reason {
				t.Fatalf("starts %q, reason %q, problem %v; want %q, %q", got, next.Reason, next.Problem, c.start, c.reason)
			}
			for _, word := range c.words {
				if !strings.Contains(next.Problem.Error(), word) {
					t.Errorf("problem %q does not name %q", next.Problem, word)
				}
			}
		})
	}
}

// matches compares texts, of which the wanted one may have one star.
func matches(want, got string) bool {
	before, after, hasStar := strings.Cut(want, "*")
	return got == want || hasStar && strings.HasPrefix(got, before) && strings.HasSuffix(got, after)
}

func describeStart(u *meshv1alpha1.MeshUpgrade) string {
	var waves []string
	for _, w := range u.Spec.Waves {
		waves = append(waves, w.Name+" "+strings.Join(w.Members, " "))
	}
	return u.Spec.To.Revision + " from " + u.Spec.From.Revision + ": " + strings.Join(waves, ", ")
}

// TestAMemberThatWasHeldFollows wants its upgrade to go to the same target, by the same name and hashes, from what the member runs.
func TestAMemberThatWasHeldFollows(t *testing.T) {
	for name, change := range map[string]plantest.Option{
		"to a version": plantest.Version("1.29.1"), "to values": plantest.SharedValues(plantest.Values{"autoscaleMin": 3}),
	} {
		t.Run(name, func(t *testing.T) {
			inst := plantest.Shop(plantest.Version("1.28.3"), plantest.Running("1.28.3"))
			members := plantest.Serving(plantest.Made(inst))
			former := members[1].Spec.Revisions[0]
			change(inst)
			free := upgrade.Next(inst, members, nil)
			held("west")(inst)
			if while := upgrade.Next(inst, members, nil); cmp.Diff(free.Target, while.Target) != "" {
				t.Errorf("a hold changes the target (-free +held):\n%s", cmp.Diff(free.Target, while.Target))
			}
			// East has moved.
			to := free.Start.Spec.To
			members[0].Spec.Revisions[0] = free.Wanted["east"]
			members[0].Spec.Revisions[0].Name, members[0].Spec.DefaultRevision = to.Revision, to.Revision
			inst.Status.Revision, inst.Status.EffectiveVersion, inst.Status.Hash = to.Revision, to.Version, to.Hash
			past := *free.Start.DeepCopy()
			past.Status.Phase = meshv1alpha1.UpgradeSucceeded
			history := []meshv1alpha1.MeshUpgrade{past}
			if next := upgrade.Next(inst, members, history); next.Start != nil || next.Problem != nil || next.Target.Revision != to.Revision {
				t.Errorf("while west is held: %+v", next)
			}
			inst.Spec.Members[1].Hold = nil
			next := upgrade.Next(inst, members, history)
			if next.Start == nil || next.Start.Name == past.Name || cmp.Diff(to, next.Start.Spec.To) != "" {
				t.Fatalf("without the hold: %+v, want an upgrade to %+v", next, to)
			}
			if from := next.Start.Spec.From; from.Revision != former.Name || from.Version != former.Version || from.Hash == "" {
				t.Errorf("it comes from %+v, want %+v", from, former)
			}
		})
	}
}

// TestWhatAMemberThatIsHeldTells wants members that join to get what the mesh runs, and not what a member was left behind with.
func TestWhatAMemberThatIsHeldTells(t *testing.T) {
	own, shared := plantest.Values{"autoscaleMin": 5}, plantest.Values{"autoscaleMin": 3}
	inst := plantest.Shop(plantest.SharedValues(shared), plantest.MemberValues(1, own), plantest.Running("1.29.1"))
	members := plantest.Serving(plantest.Made(inst))
	inst.Status.Revision = "1-29-1-v12345678"
	// East runs what all ran before.
	members[0].Spec.Revisions[0].Values = nil
	if got := upgrade.EffectiveShared(inst, members); got.Values != nil {
		t.Errorf("members join with %s, want what east runs", got.Values.Raw)
	}
	held("east")(inst)
	if got := upgrade.EffectiveShared(inst, members); got.Values == nil || got.Name != "" {
		t.Errorf("members join with %+v, want what the spec says", got)
	}
	inst.Status.Revision = members[0].Spec.Revisions[0].Name
	if got := upgrade.EffectiveShared(inst, members); got.Name != inst.Status.Revision {
		t.Errorf("members join with %+v, want the revision of the mesh, which east runs", got)
	}
}

func TestHoldsOverdue(t *testing.T) {
	at := func(minutes int) meshv1alpha1.Hold {
		return meshv1alpha1.Hold{Reason: "r", Until: metav1.NewTime(testutil.Now.Add(time.Duration(minutes) * time.Minute))}
	}
	for name, c := range map[string]struct {
		holds upgrade.Holds
		want  []string
		next  time.Duration
	}{
		"none":              {},
		"one in time":       {holds: upgrade.Holds{"a": at(5)}, next: 5 * time.Minute},
		"one whose time is": {holds: upgrade.Holds{"a": at(0)}, want: []string{"a"}},
		"several":           {holds: upgrade.Holds{"d": at(-9), "c": at(7), "b": at(3), "a": at(-1)}, want: []string{"a", "d"}, next: 3 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			got, next := c.holds.Overdue(testutil.Now)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("overdue (-want +got):\n%s", diff)
			}
			if c.next == 0 != next.IsZero() || c.next > 0 && !next.Equal(testutil.Now.Add(c.next)) {
				t.Errorf("the next one is at %s, want in %s", next, c.next)
			}
		})
	}
}

// TestTheTextOfAHoldIsBounded wants a long reason, or many members, to leave room for the rest of a message.
func TestTheTextOfAHoldIsBounded(t *testing.T) {
	holds := upgrade.Holds{}
	var names []string
	for _, name := range strings.Split("abcdefgh", "") {
		names = append(names, name)
		holds[name] = meshv1alpha1.Hold{Reason: strings.Repeat("é", 128), Until: metav1.NewTime(testutil.Now)}
	}
	if text := holds.List(names); len(text) > 750 || !strings.HasSuffix(text, " and 3 more") {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}
