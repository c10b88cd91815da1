package rollout

import (
	"fmt"
	"maps"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/plan/plantest"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

type lifeCase struct {
	options []plantest.Option
	set     func(*life)
	edits   []edit
	want    string
}

// wantsVersion edits the spec.
func wantsVersion(at int, v string, options ...plantest.Option) edit {
	return edit{at: at, what: "spec.version: " + v, do: func(l *life) {
		for _, o := range append(options, plantest.Version(v)) {
			o(l.inst)
		}
	}}
}

func wantsState(at int, s meshv1alpha1.UpgradeState) edit {
	return edit{at: at, what: fmt.Sprintf("spec.upgrade.state: %s", s), do: func(l *life) { l.inst.Spec.Upgrade.State = s }}
}

func edits(at int, what string, options ...plantest.Option) edit {
	return edit{at: at, what: what, do: func(l *life) {
		for _, o := range options {
			o(l.inst)
		}
	}}
}

func leaves(name string) plantest.Option {
	return func(inst *meshv1alpha1.MeshInstallation) {
		var rest []meshv1alpha1.Member
		for _, m := range inst.Spec.Members {
			if m.Name != name {
				rest = append(rest, m)
			}
		}
		inst.Spec.Members = rest
	}
}

func ownValues(v any) func(*meshv1alpha1.Member) {
	return func(m *meshv1alpha1.Member) { m.Values = testutil.JSON(v) }
}

// annotates writes the order of the n-th upgrade that there has been.
func annotates(at, n int, order meshv1alpha1.UpgradeAction) edit {
	return edit{at: at, what: fmt.Sprintf("annotation of upgrade %d: %s", n, orNone(order)), do: func(l *life) { annotate(l.history[n-1], order) }}
}

// prunes drops the oldest record, as the limit of the history does. It stays among the outcomes.
func prunes(at int) edit {
	return edit{at: at, what: "the oldest record is pruned", do: func(l *life) {
		l.pruned, l.history = append(l.pruned, l.history[0]), l.history[1:]
	}}
}

func plays(name string, b behaviour) func(*life) {
	return func(l *life) { *l.behaviour[name] = b }
}

// onlyTable forgets the releases that the operator has.
func onlyTable(l *life) { l.table = nil }

func lives() map[string]lifeCase {
	more, own := plantest.SharedValues(plantest.Values{"autoscaleMin": 3}), plantest.Values{"autoscaleMin": 5}
	install := meshv1alpha1.StageInstall
	stop := func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.Upgrade.RollbackScope = meshv1alpha1.RollbackScopeWave
	}
	mended := func(name string) func(*life) { return func(l *life) { *l.behaviour[name] = behaviour{} } }
	long := func(l *life) {
		for _, v := range []string{"1.27.5", "1.28.3", "1.29.0", "1.29.1", "1.31.0"} {
			l.table = append(l.table, istioversion.Release{Version: v, MinKubernetes: "1.30", MaxJump: 2})
		}
	}
	since := func(v string) plantest.Option {
		return func(inst *meshv1alpha1.MeshInstallation) { plantest.Version(v)(inst); plantest.Running(v)(inst) }
	}
	kubernetes := func(name, v string) func(*life) {
		return func(l *life) { l.member(name).Status.KubernetesVersion = v }
	}
	several := func(all ...func(*life)) func(*life) {
		return func(l *life) {
			for _, do := range all {
				do(l)
			}
		}
	}
	cases := map[string]lifeCase{
		"a jump that is too far goes by steps": {
			options: []plantest.Option{since("1.26.1")}, set: several(onlyTable, long), edits: []edit{wantsVersion(0, "1.31.0")},
			want: "1.28.3 Succeeded, 1.29.1 Succeeded, 1.31.0 Succeeded"},
		"a step that fails leaves the mesh at the step before": {
			options: []plantest.Option{since("1.27.5")}, set: several(onlyTable, long),
			edits: []edit{wantsVersion(0, "1.31.0"), {at: 35, what: "west is broken", do: plays("west", behaviour{fails: install})}},
			want:  "1.29.1 Succeeded, 1.31.0 RolledBack Failed"},
		"another version that is wanted during a step ends it": {
			options: []plantest.Option{since("1.27.5")}, set: several(onlyTable, long),
			edits: []edit{wantsVersion(0, "1.31.0"), wantsVersion(5, "1.29.0")},
			want:  "1.29.1 RolledBack Superseded, 1.29.0 Succeeded"},
		"nothing starts without a release for a step": {
			options: []plantest.Option{since("1.26.1")}, set: several(onlyTable, long, func(l *life) { l.table = l.table[2:] }),
			edits: []edit{wantsVersion(0, "1.31.0")}},
		"nothing starts while anything is in the way, and all of it is named": {
			options: []plantest.Option{since("1.27.5"), testutil.With("north", ownValues(plantest.Values{"compatibilityVersion": "1.24"}))},
			set: several(onlyTable, long, kubernetes("east", "v1.29.9"), kubernetes("west", "v1.29.9"), func(l *life) {
				l.table[4].MinKubernetes, l.table[4].Compatibility = "1.32", []string{"1.30"}
				l.table[3].Removed = []istioversion.ValueRule{{Path: "env.OLD", Cure: "use NEW"}}
			}),
			edits: []edit{
				wantsVersion(0, "1.31.0", plantest.SharedValues(plantest.Values{"pilot": plantest.Values{"env": plantest.Values{"OLD": "1"}}})),
				{at: 30, what: "clusters are upgraded", do: several(kubernetes("east", "v1.32.1"), kubernetes("west", "v1.33.0"))},
				edits(60, "values are mended", plantest.SharedValues(nil), plantest.MemberValues(2, plantest.Values{"compatibilityVersion": "1.30"})),
				edits(90, "values are mended again", plantest.MemberValues(2, nil))},
			want: "1.29.1 Succeeded, 1.31.0 Succeeded"},
		"values that the present release does not take stop a change of values, too": {
			set: func(l *life) {}, edits: []edit{edits(0, "a bad value", plantest.SharedValues(plantest.Values{"global": plantest.Values{"pilotCertProvider": "kubernetes"}}))}},
		"an upgrade that stopped half way goes on with another attempt, and who joins meanwhile joins at the former version": {
			options: []plantest.Option{stop}, set: plays("west", behaviour{fails: install}),
			edits: []edit{
				wantsVersion(0, "1.29.1"), edits(60, "north joins", testutil.With("north")),
				{at: 90, what: "west is mended", do: mended("west")}, edits(120, "spec.upgrade.attempt: 1", plantest.Attempt(1))},
			want: "1.29.1 Stopped Failed, 1.29.1 Succeeded"},
		"a mesh half way goes back when the spec does": {
			options: []plantest.Option{stop}, set: plays("west", behaviour{fails: install}),
			edits: []edit{wantsVersion(0, "1.29.1"), wantsVersion(60, "1.28.3")},
			want:  "1.29.1 Stopped Failed, 1.28.3 Succeeded"},
		"values of a mesh half way go back to where they were under their old name": {
			options: []plantest.Option{stop, more}, set: plays("west", behaviour{fails: install}),
			edits: []edit{edits(0, "other values", plantest.SharedValues(own)), edits(60, "the former values", more)},
			want:  "1.28.3 Stopped Failed, 1.28.3 Succeeded"},
		"a mesh half way goes on to another target": {
			options: []plantest.Option{stop}, set: plays("west", behaviour{fails: install}),
			edits: []edit{wantsVersion(0, "1.29.1"), {at: 59, what: "west is mended", do: mended("west")}, edits(60, "other values", more)},
			want:  "1.29.1 Stopped Failed, 1.29.1 Succeeded"},
		"a mesh half way is whole when the member that failed has left": {
			options: []plantest.Option{stop}, set: plays("west", behaviour{fails: install}),
			edits: []edit{wantsVersion(0, "1.29.1"), edits(60, "west leaves", leaves("west"))},
			want:  "1.29.1 Stopped Failed"},
		"who joins while values change joins at those that run": {
			edits: []edit{edits(0, "other values", more), edits(5, "north joins", testutil.With("north"))},
			want:  "1.28.3 Succeeded, 1.28.3 Succeeded"},
		"a target that another superseded starts when it is wanted again": {
			edits: []edit{wantsVersion(0, "1.29.1"), edits(5, "other values as well", more), edits(120, "the values are as they were", plantest.SharedValues(nil))},
			want:  "1.29.1 RolledBack Superseded, 1.29.1 Succeeded, 1.29.1 Succeeded"},
		"a target that was taken back mid-run starts when it is wanted again": {
			edits: []edit{wantsVersion(0, "1.29.1"), wantsVersion(5, "1.28.3"), wantsVersion(30, "1.29.1")},
			want:  "1.29.1 RolledBack Superseded, 1.29.1 Succeeded"},
		"a target that a person aborted waits until the spec says Run": {
			edits: []edit{wantsVersion(0, "1.29.1"), wantsState(5, meshv1alpha1.UpgradeStateAbort), wantsState(60, meshv1alpha1.UpgradeStateRun)},
			want:  "1.29.1 RolledBack Aborted, 1.29.1 Succeeded"},
		"a target that a person aborted starts when it is wanted again": {
			edits: []edit{
				wantsVersion(0, "1.29.1"), wantsState(5, meshv1alpha1.UpgradeStateAbort), wantsVersion(30, "1.28.3"),
				wantsState(31, meshv1alpha1.UpgradeStateRun), wantsVersion(60, "1.29.1")},
			want: "1.29.1 RolledBack Aborted, 1.29.1 Succeeded"},
		"a target that failed is not tried again until that is asked for": {
			set: plays("east", behaviour{fails: install}),
			edits: []edit{
				wantsVersion(0, "1.29.1"), wantsVersion(30, "1.28.3"), wantsVersion(60, "1.29.1"),
				{at: 90, what: "east is mended", do: func(l *life) { *l.behaviour["east"] = behaviour{} }},
				edits(120, "spec.upgrade.attempt: 1", plantest.Attempt(1))},
			want: "1.29.1 RolledBack Failed, 1.29.1 Succeeded"},
		"a target that failed is remembered although a member with values of its own joins": {
			set:   plays("east", behaviour{fails: install}),
			edits: []edit{wantsVersion(0, "1.29.1"), edits(60, "north joins", testutil.With("north", ownValues(own)))},
			want:  "1.29.1 RolledBack Failed"},
		"a target that was rejected is not asked for again": {
			options: []plantest.Option{func(inst *meshv1alpha1.MeshInstallation) {
				inst.Spec.Upgrade.Waves = []meshv1alpha1.Wave{{Name: "all", Approval: meshv1alpha1.ApprovalRequired}}
			}},
			edits: []edit{wantsVersion(0, "1.29.1"), {at: 9, what: "rejected", do: func(l *life) {
				l.approvals[0].Spec.Decision = meshv1alpha1.DecisionRejected
			}}},
			want: "1.29.1 RolledBack Rejected"},
		"a member with values of its own joins mid-run and is brought along later": {
			edits: []edit{wantsVersion(0, "1.29.1"), edits(5, "a north with values of its own joins", testutil.With("north", ownValues(own)))},
			want:  "1.29.1 Succeeded, 1.29.1 Succeeded"},
		"a member with values of its own leaves mid-run, slowly": {
			options: []plantest.Option{testutil.With("north", ownValues(own))},
			edits:   []edit{wantsVersion(0, "1.29.1"), edits(16, "north leaves", leaves("north"))},
			want:    "1.29.1 Succeeded"},
		"values of a member that takes part change mid-run": {
			edits: []edit{wantsVersion(0, "1.29.1"), edits(5, "west gets values of its own", plantest.MemberValues(1, own))},
			want:  "1.29.1 RolledBack Superseded, 1.29.1 Succeeded"},
	}
	maps.Copy(cases, steeredLives())
	maps.Copy(cases, retiringLives())
	maps.Copy(cases, heldLives())
	return cases
}
