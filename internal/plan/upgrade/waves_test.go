package upgrade_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// tiers are members by name and tier, and the waves of their mesh.
func tiers(members map[string]string, waves ...meshv1alpha1.Wave) *meshv1alpha1.MeshInstallation {
	inst := testutil.Installation()
	for name, tier := range members {
		testutil.With(name, func(m *meshv1alpha1.Member) { m.Labels = map[string]string{"tier": tier} })(inst)
	}
	inst.Spec.Upgrade.Waves = waves
	return inst
}

func many(n int) map[string]string {
	members := map[string]string{}
	for i := range n {
		members[fmt.Sprintf("m%02d", i)] = "many"
	}
	return members
}

func selecting(tier string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"tier": tier}}
}

func TestWaves(t *testing.T) {
	percent := func(s string) *intstr.IntOrString { v := intstr.FromString(s); return &v }
	number := func(n int) *intstr.IntOrString { v := intstr.FromInt(n); return &v }
	minutes := func(n int) *metav1.Duration { return &metav1.Duration{Duration: time.Duration(n) * time.Minute} }
	three := map[string]string{"west": "eu", "east": "canary", "north": "eu"}
	cases := map[string]struct {
		inst *meshv1alpha1.MeshInstallation
		want []string
	}{
		"one member alone": {inst: tiers(many(1)), want: []string{"first [m00] 1 at a time, soak 5m0s, deadline 30m0s, failures 0, NotRequired"}},
		"the default is one member first, then a quarter at a time": {inst: tiers(many(9)), want: []string{
			"first [m00] 1 at a time, soak 5m0s, deadline 30m0s, failures 0, NotRequired",
			"rest [m01 m02 m03 m04 m05 m06 m07 m08] 2 at a time, soak 0s, deadline 30m0s, failures 0, NotRequired"}},
		"a quarter of few is at least one": {inst: tiers(three), want: []string{
			"first [east] 1 at a time, soak 5m0s, deadline 30m0s, failures 0, NotRequired",
			"rest [north west] 1 at a time, soak 0s, deadline 30m0s, failures 0, NotRequired"}},
		"a wave without a selector takes the rest, wherever it stands": {
			inst: tiers(three, meshv1alpha1.Wave{Name: "others"}, meshv1alpha1.Wave{Name: "last", MemberSelector: selecting("canary")}),
			want: []string{
				"others [north west] 1 at a time, soak 0s, deadline 30m0s, failures 0, NotRequired",
				"last [east] 1 at a time, soak 0s, deadline 30m0s, failures 0, NotRequired"}},
		"everything that a wave can say": {
			inst: tiers(three, meshv1alpha1.Wave{
				Name: "all", MaxConcurrent: number(2), Soak: minutes(60), ProgressDeadline: minutes(7), MaxFailures: 2,
				Approval: meshv1alpha1.ApprovalRequired, MemberSelector: &metav1.LabelSelector{},
			}),
			want: []string{"all [east north west] 2 at a time, soak 1h0m0s, deadline 7m0s, failures 2, Required"}},
		"a percentage is rounded down": {
			inst: tiers(many(10), meshv1alpha1.Wave{Name: "all", MaxConcurrent: percent("39%")}),
			want: []string{"all [m00 m01 m02 m03 m04 m05 m06 m07 m08 m09] 3 at a time, soak 0s, deadline 30m0s, failures 0, NotRequired"}},
		"all at once": {
			inst: tiers(three, meshv1alpha1.Wave{Name: "all", MaxConcurrent: percent("100%")}),
			want: []string{"all [east north west] 3 at a time, soak 0s, deadline 30m0s, failures 0, NotRequired"}},
		"a wave that selects nobody stays in the plan": {
			inst: tiers(three, meshv1alpha1.Wave{Name: "none", MemberSelector: selecting("us")}, meshv1alpha1.Wave{Name: "all"}),
			want: []string{
				"none [] 1 at a time, soak 0s, deadline 30m0s, failures 0, NotRequired",
				"all [east north west] 1 at a time, soak 0s, deadline 30m0s, failures 0, NotRequired"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			waves, err := upgrade.Waves(c.inst)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range waves {
				if w.Members == nil {
					t.Errorf("wave %s: the API server refuses a list that is not there", w.Name)
				}
				got = append(got, fmt.Sprintf("%s %v %d at a time, soak %s, deadline %s, failures %d, %s", w.Name, w.Members,
					w.MaxConcurrent, w.Soak.Duration, w.ProgressDeadline.Duration, w.MaxFailures, w.Approval))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("waves (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWavesOrder(t *testing.T) {
	labels := map[string]string{"a": "10", "b": "9", "c": "gold", "d": "9", "e": "silver", "g": "-1", "h": "010"}
	inst := testutil.Installation()
	for _, name := range []string{"h", "g", "f", "e", "d", "c", "b", "a"} {
		testutil.With(name, func(m *meshv1alpha1.Member) {
			if value, ok := labels[name]; ok {
				m.Labels = map[string]string{"rank": value}
			}
		})(inst)
	}
	for key, want := range map[string]string{"": "a b c d e f g h", "rank": "g b d h a c e f", "other": "a b c d e f g h"} {
		inst.Spec.Upgrade.Waves = []meshv1alpha1.Wave{{Name: "all", OrderBy: key}}
		waves, err := upgrade.Waves(inst)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(waves[0].Members, " "); got != want {
			t.Errorf("by %q members go in the order %s, want %s", key, got, want)
		}
	}
}

func TestWavesRefuse(t *testing.T) {
	members := map[string]string{"west": "eu", "east": "canary", "north": "eu", "south": "us"}
	eu, canary := meshv1alpha1.Wave{Name: "eu", MemberSelector: selecting("eu")}, meshv1alpha1.Wave{Name: "canary", MemberSelector: selecting("canary")}
	broken, words := selecting("eu"), intstr.FromString("some")
	broken.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "tier", Operator: "Like"}}
	cases := map[string]struct {
		waves []meshv1alpha1.Wave
		names []string // that people need in order to mend it
	}{
		"members in no wave":        {waves: []meshv1alpha1.Wave{canary}, names: []string{"north", "south", "west"}},
		"members in two waves":      {waves: []meshv1alpha1.Wave{eu, {Name: "all", MemberSelector: &metav1.LabelSelector{}}}, names: []string{"north (eu, all)", "west (eu, all)"}},
		"both":                      {waves: []meshv1alpha1.Wave{eu, canary, {Name: "again", MemberSelector: selecting("eu")}}, names: []string{"south", "north (eu, again)"}},
		"two waves take the rest":   {waves: []meshv1alpha1.Wave{{Name: "one"}, eu, {Name: "two"}}, names: []string{`"one"`, `"two"`}},
		"a selector that is none":   {waves: []meshv1alpha1.Wave{{Name: "odd", MemberSelector: broken}}, names: []string{`"odd"`}},
		"a window that never opens": {waves: []meshv1alpha1.Wave{{Name: "odd", Window: &meshv1alpha1.MaintenanceWindow{Schedule: "0 0 30 2 *"}}}, names: []string{`"odd"`, "0 0 30 2"}},
		"a zone that is none":       {waves: []meshv1alpha1.Wave{{Name: "odd", Window: &meshv1alpha1.MaintenanceWindow{Schedule: "0 0 * * *", TimeZone: "Mars"}}}, names: []string{`"odd"`, "Mars"}},
		"a limit that is none":      {waves: []meshv1alpha1.Wave{{Name: "odd", MaxConcurrent: &words}}, names: []string{`"odd"`}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			waves, err := upgrade.Waves(tiers(members, c.waves...))
			if err == nil {
				t.Fatalf("waves are %+v, want an error", waves)
			}
			if missing := slices.DeleteFunc(c.names, func(n string) bool { return strings.Contains(err.Error(), n) }); len(missing) > 0 {
				t.Errorf("error %q does not name %v", err, missing)
			}
		})
	}
}
