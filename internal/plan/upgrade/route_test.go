package upgrade_test

import (
	"fmt"
	"strings"
	"testing"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/plan/plantest"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func releases(versions ...string) istioversion.Table {
	var t istioversion.Table
	for _, v := range versions {
		t = append(t, istioversion.Release{Version: v, MinKubernetes: "1.30", MaxJump: 2})
	}
	return t
}

// differing is a mesh whose members run different versions.
func differing(versions ...string) []meshv1alpha1.MeshMember {
	var options []plantest.Option
	for i := range versions {
		options = append(options, testutil.With(fmt.Sprintf("m%d", i)))
	}
	members := plantest.Made(testutil.Installation(options...))
	for i, v := range versions {
		members[i].Spec.Revisions[0].Version = v
	}
	return plantest.Serving(members)
}

func TestRoute(t *testing.T) {
	table := releases("1.26.1", "1.27.5", "1.28.3", "1.29.1", "1.30.0", "1.31.0")
	cases := map[string]struct {
		running []string
		to      string
		step    uint64
		want    string
		// wantProblems are texts, one for each problem.
		wantProblems []string
	}{
		"nobody runs anything yet":                        {to: "1.31.0", want: "1.31.0"},
		"one step":                                        {running: []string{"1.28.3", "1.28.3"}, to: "1.29.1", want: "1.29.1"},
		"all take the way of the last":                    {running: []string{"1.28.3", "1.26.1"}, to: "1.30.0", want: "1.28.3 1.30.0"},
		"who is there already waits":                      {running: []string{"1.29.1", "1.28.3"}, to: "1.29.1", want: "1.29.1"},
		"half way, and back":                              {running: []string{"1.29.1", "1.28.3"}, to: "1.28.3", want: "1.28.3"},
		"too far apart for a step that takes nobody back": {running: []string{"1.30.0", "1.27.5"}, to: "1.31.0", wantProblems: []string{"1.27.5 and 1.30.0"}},
		"two who cannot go there":                         {running: []string{"1.31.0", "1.30.0", "1.29.1"}, to: "1.27.5", wantProblems: []string{"from 1.30.0", "from 1.31.0"}},
		"every minor version":                             {running: []string{"1.28.3"}, to: "1.31.0", step: 1, want: "1.29.1 1.30.0 1.31.0"},
		"two minor versions":                              {running: []string{"1.28.3"}, to: "1.31.0", step: 2, want: "1.30.0 1.31.0"},
		"one step back, whatever advances":                {running: []string{"1.31.0"}, to: "1.29.1", step: 1, want: "1.29.1"},
		"a release that is not known":                     {running: []string{"1.29.1"}, to: "1.29.9", wantProblems: []string{"1.29.9"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			steps, problems := upgrade.Route(table, differing(c.running...), c.to, c.step)
			if got := strings.Join(steps, " "); len(c.wantProblems) == 0 && got != c.want {
				t.Errorf("steps are %q, want %q", got, c.want)
			}
			if len(problems) != len(c.wantProblems) {
				t.Fatalf("problems are %v, want %d", problems, len(c.wantProblems))
			}
			for i, want := range c.wantProblems {
				if !strings.Contains(problems[i].Error(), want) {
					t.Errorf("problem %q does not name %q", problems[i], want)
				}
			}
		})
	}
}

// TestAPlannedStepStands wants a plan of a step to be kept while the spec asks for the same, and dropped otherwise.
func TestAPlannedStepStands(t *testing.T) {
	table := releases("1.26.1", "1.28.3", "1.30.0", "1.31.0")
	inst := plantest.Shop(plantest.Version("1.26.1"), plantest.Running("1.26.1"))
	members := plantest.Serving(plantest.Made(inst))
	inst.Spec.Version = "1.31.0"
	first := upgrade.NextIn(table, inst, members, nil)
	if first.Start == nil || first.Start.Spec.To.Version != "1.28.3" || first.Start.Spec.Towards != "1.31.0" {
		t.Fatalf("next is %+v, want a step to 1.28.3", first)
	}
	first.Start.Status.Phase = meshv1alpha1.UpgradePlanned
	history := []meshv1alpha1.MeshUpgrade{*first.Start}
	if c := upgrade.NextIn(table, inst, members, history); c.Active == nil || c.IsSuperseded {
		t.Errorf("the plan does not stand: %+v", c)
	}
	inst.Spec.Version = "1.30.0"
	if c := upgrade.NextIn(table, inst, members, history); c.Outdated == nil {
		t.Errorf("the plan stands although the spec asks for another version: %+v", c)
	}
}

// TestAnOlderReleaseIsAnUpgrade wants a mesh that runs a release to go back to an older one in one step, and not further than that.
func TestAnOlderReleaseIsAnUpgrade(t *testing.T) {
	table := releases("1.26.1", "1.27.5", "1.28.3", "1.29.1")
	for to, want := range map[string]bool{"1.28.3": true, "1.27.5": true, "1.26.1": false} {
		inst := plantest.Shop(plantest.Running("1.29.1"))
		members := plantest.Serving(plantest.Made(inst))
		inst.Spec.Version = to
		c := upgrade.NextIn(table, inst, members, nil)
		switch {
		case !want && (c.Start != nil || c.Reason != meshv1alpha1.ReasonUpgradeBlocked):
			t.Errorf("to %s: next is %+v, want it blocked", to, c)
		case want && (c.Start == nil || c.Start.Spec.To.Version != to || c.Start.Spec.From.Version != "1.29.1" || c.Start.Spec.Towards != ""):
			t.Errorf("to %s: next is %+v, want one step from 1.29.1", to, c)
		}
	}
}

// TestTogetherIsBounded wants a message that a condition can hold.
func TestTogetherIsBounded(t *testing.T) {
	var problems []error
	for i := range 40 {
		problems = append(problems, fmt.Errorf("problem %d", i))
	}
	if got := upgrade.Together(problems).Error(); !strings.HasSuffix(got, "problem 9; and 30 more") {
		t.Errorf("message is %q", got)
	}
	if err := upgrade.Together(nil); err != nil {
		t.Errorf("nothing is in the way, but: %v", err)
	}
}
