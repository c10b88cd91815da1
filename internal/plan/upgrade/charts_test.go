package upgrade_test

import (
	"strings"
	"testing"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/plan/plantest"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
)

const registry = "oci://registry.example.com/istio"

var fetchedCharts = meshv1alpha1.ChartDigests{Base: "sha256:1", Istiod: "sha256:2", Gateway: "sha256:3"}

// from is a source of charts that were not fetched yet.
func from(source string) plantest.Option {
	return func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Charts = &meshv1alpha1.Charts{OCI: source} }
}

// pinned are charts that were fetched.
func pinned(version, source string, d meshv1alpha1.ChartDigests) plantest.Option {
	return func(inst *meshv1alpha1.MeshInstallation) {
		inst.Status.Charts = append(inst.Status.Charts, meshv1alpha1.PinnedCharts{Version: version, Source: source, Charts: d})
	}
}

// TestChartsOfATarget wants the digests to be part of what runs, and their source not to be.
func TestChartsOfATarget(t *testing.T) {
	other := meshv1alpha1.ChartDigests{Base: "sha256:1", Istiod: "sha256:9", Gateway: "sha256:3"}
	image := plantest.Shop(plantest.Running("1.29.1"))
	fetched := plantest.Shop(plantest.Running("1.29.1"), from(registry), pinned("1.29.1", registry, fetchedCharts))
	cases := map[string]struct {
		runs    *meshv1alpha1.MeshInstallation
		inst    *meshv1alpha1.MeshInstallation
		changes bool
		charts  meshv1alpha1.ChartDigests
		// problem is a part of why nothing starts.
		problem string
	}{
		"the charts of the image": {runs: image, inst: plantest.Shop(plantest.Running("1.29.1"))},
		"charts that are fetched": {runs: fetched, inst: fetched, charts: fetchedCharts},
		"from the image to charts that are fetched": {
			runs: image, inst: plantest.Shop(plantest.Running("1.29.1"), from(registry), pinned("1.29.1", registry, fetchedCharts)), changes: true, charts: fetchedCharts},
		"from the image to charts that are not there yet, with other values": {
			runs: image, inst: plantest.Shop(plantest.Running("1.29.1"), from(registry), plantest.SharedValues(plantest.Values{"autoscaleMin": 3})), problem: "before its charts are fetched"},
		"to a patch that is not in the image": {
			runs: image, inst: plantest.Shop(plantest.Running("1.29.1"), plantest.Version("1.29.7"), from(registry), pinned("1.29.7", registry, fetchedCharts)), changes: true, charts: fetchedCharts},
		"to a patch that is nowhere": {runs: image, inst: plantest.Shop(plantest.Running("1.29.1"), plantest.Version("1.29.7")), problem: "set spec.charts"},
		"to a patch with the default source of the operator": {
			runs: image, inst: plantest.Shop(plantest.Running("1.29.1"), plantest.Version("1.29.7"), pinned("1.29.7", registry, fetchedCharts)), changes: true, charts: fetchedCharts},
		"a registry that moves": {
			runs: fetched, inst: plantest.Shop(plantest.Running("1.29.1"), from("oci://new.example.com"), pinned("1.29.1", registry, other), pinned("1.29.1", "oci://new.example.com", fetchedCharts)),
			charts: fetchedCharts},
		"other digests of the same version": {
			runs: fetched, inst: plantest.Shop(plantest.Running("1.29.1"), from("oci://new.example.com"), pinned("1.29.1", "oci://new.example.com", other)), changes: true, charts: other},
		"an image that gains the release": {runs: fetched, inst: plantest.Shop(plantest.Running("1.29.1"), pinned("1.29.1", registry, fetchedCharts))},
		"an image that loses the release": {
			runs: plantest.Shop(plantest.Running("1.29.7"), plantest.Version("1.29.7")),
			inst: plantest.Shop(plantest.Running("1.29.7"), plantest.Version("1.29.7"), pinned("1.29.7", registry, fetchedCharts)), charts: fetchedCharts},
		"the charts of the image, with the next change": {
			runs: fetched, inst: plantest.Shop(plantest.Running("1.29.1"), plantest.SharedValues(plantest.Values{"autoscaleMin": 3})), changes: true},
		"a status that was lost": {runs: fetched, inst: plantest.Shop(plantest.Running("1.29.1"), from(registry)), problem: "before its charts are fetched"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			members := plantest.Serving(plantest.Made(c.runs))
			c.inst.Status.Revision = members[0].Spec.Revisions[0].Name
			next := upgrade.Next(c.inst, members, nil)
			if (next.Problem != nil) != (c.problem != "") || c.problem != "" && !strings.Contains(next.Problem.Error(), c.problem) {
				t.Fatalf("problem %v, want %q", next.Problem, c.problem)
			}
			if (next.Start != nil) != c.changes {
				t.Fatalf("upgrade %+v, want one: %v", next.Start, c.changes)
			}
			if c.changes && next.Start.Spec.To.Charts != c.charts {
				t.Errorf("charts of the upgrade %+v, want %+v", next.Start.Spec.To.Charts, c.charts)
			}
			if c.problem == "" && next.Target.Charts != c.charts {
				t.Errorf("charts of the target %+v, want %+v", next.Target.Charts, c.charts)
			}
			if !c.changes || c.charts.IsZero() {
				return
			}
			if name := next.Start.Spec.To.Revision; !strings.Contains(name, "-v") {
				t.Errorf("the revision %s has the name of the charts of the image", name)
			}
		})
	}
}

// TestAnUpgradeGoesOnWhileChartsAreFetched wants no change of the spec to end an upgrade before it is known what the change asks for.
func TestAnUpgradeGoesOnWhileChartsAreFetched(t *testing.T) {
	inst := plantest.Shop(plantest.Running("1.28.3"), plantest.Version("1.28.3"))
	members := plantest.Serving(plantest.Made(inst))
	inst.Spec.Version = "1.29.1"
	u := *upgrade.Next(inst, members, nil).Start
	u.Status.Phase = meshv1alpha1.UpgradeRunning
	inst.Spec.Version, inst.Spec.Charts = "1.29.7", &meshv1alpha1.Charts{OCI: registry}
	if next := upgrade.Next(inst, members, []meshv1alpha1.MeshUpgrade{u}); next.Active == nil || next.IsSuperseded {
		t.Errorf("while the charts are fetched: active %v, superseded %v", next.Active != nil, next.IsSuperseded)
	}
	pinned("1.29.7", registry, fetchedCharts)(inst)
	if next := upgrade.Next(inst, members, []meshv1alpha1.MeshUpgrade{u}); next.Active == nil || !next.IsSuperseded {
		t.Errorf("when they are there: active %v, superseded %v", next.Active != nil, next.IsSuperseded)
	}
}

// TestStepsUseTheChartsOfTheImage wants the steps before the last one to be released without the charts of the spec.
func TestStepsUseTheChartsOfTheImage(t *testing.T) {
	inst := plantest.Shop(plantest.Running("1.28.3"), plantest.Version("1.28.3"))
	members := plantest.Serving(plantest.Made(inst))
	inst.Spec.Version, inst.Spec.Charts = "1.31.7", &meshv1alpha1.Charts{OCI: registry}
	pinned("1.31.7", registry, fetchedCharts)(inst)
	step := upgrade.Next(inst, members, nil).Start
	if step == nil || step.Spec.To.Version != "1.30.4" || step.Spec.Towards != "1.31.7" || !step.Spec.To.Charts.IsZero() {
		t.Fatalf("first step %+v", step)
	}
	step.Status.Phase = meshv1alpha1.UpgradeRunning
	if next := upgrade.Next(inst, members, []meshv1alpha1.MeshUpgrade{*step}); next.IsSuperseded {
		t.Error("the first step is taken for another target")
	}
	for i := range members {
		members[i].Spec.Revisions[0] = meshv1alpha1.Revision{Name: "1-30-4", Version: "1.30.4"}
		members[i].Spec.DefaultRevision = "1-30-4"
	}
	plantest.Running("1.30.4")(inst)
	last := upgrade.Next(inst, plantest.Serving(members), nil).Start
	if last == nil || last.Spec.To.Version != "1.31.7" || last.Spec.To.Charts != fetchedCharts {
		t.Fatalf("last step %+v", last)
	}
}

// TestMembersJoinWithTheChartsThatRun wants a member that joins to get the charts that the others run, and peers to be read by the charts of
// the newest release.
func TestMembersJoinWithTheChartsThatRun(t *testing.T) {
	inst := plantest.Shop(plantest.Version("1.29.7"), from(registry), pinned("1.29.7", registry, fetchedCharts))
	members := plantest.Serving(plantest.Made(inst))
	plantest.Running("1.29.7")(inst)
	inst.Status.Revision = members[0].Spec.Revisions[0].Name
	inst.Status.Charts = nil
	inst.Spec.Members = append(inst.Spec.Members, meshv1alpha1.Member{Name: "north"})
	p, err := plan.Members(inst, members, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range p.Desired {
		r := m.Spec.Revisions[0]
		if r.Version != "1.29.7" || r.Charts != fetchedCharts || r.Name != inst.Status.Revision || m.Spec.ReaderVersion != "1.29.7" || m.Spec.ReaderCharts != fetchedCharts {
			t.Errorf("%s: revision %+v, readers %s with %+v", m.Spec.Cluster, r, m.Spec.ReaderVersion, m.Spec.ReaderCharts)
		}
	}
	u := &meshv1alpha1.MeshUpgrade{}
	u.Spec.To = meshv1alpha1.RevisionTarget{Version: "1.31.0", Revision: "1-31-0"}
	p, err = plan.Members(inst, members, &plan.Run{Upgrade: u})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range p.Desired {
		if m.Spec.ReaderVersion != "1.31.0" || !m.Spec.ReaderCharts.IsZero() {
			t.Errorf("%s: readers %s with %+v", m.Spec.Cluster, m.Spec.ReaderVersion, m.Spec.ReaderCharts)
		}
	}
}
