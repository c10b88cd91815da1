package rollout

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// threeWaves are three members, each in a wave of its own.
func threeWaves() []meshv1alpha1.PlannedWave {
	return []meshv1alpha1.PlannedWave{wave("first", "east"), wave("second", "north"), wave("third", "west")}
}

// away cuts members off from one tick to another.
func away(from, until int, names ...string) func(*world) {
	return func(w *world) {
		for _, name := range names {
			w.events = append(w.events, reachable(from, name, false), reachable(until, name, true))
		}
	}
}

// stragglers are stories of what takes long, or is away, and is no failure.
func stragglers() map[string]scenario {
	install, workloads, soak, retire := meshv1alpha1.StageInstall, meshv1alpha1.StageWorkloads, meshv1alpha1.StageSoak, meshv1alpha1.StageRetire
	stays := behaviour{puzzled: retire}
	cases := map[string]scenario{
		"what keeps the former revision in every member for good holds no wave": {
			waves: threeWaves(), want: succeeded,
			set: both(behaves("east", stays), both(behaves("north", stays), behaves("west", stays)))},
		"a failure in the third wave takes back who has retired, and who could not": {
			waves: threeWaves(), want: rolledBack, set: both(behaves("north", stays), behaves("west", behaviour{fails: workloads}))},
		"what keeps the target after the way back holds nothing": {
			waves: canaryAndRest(), want: rolledBack, set: behaves("north", behaviour{fails: workloads, puzzled: meshv1alpha1.StageDiscard})},
		"a workload every four minutes for hours is progress": {
			waves: canaryAndRest(), want: succeeded, set: behaves("north", behaviour{every: 4, workloads: 40})},
		"a workload that takes longer than the deadline is a failure": {
			waves: canaryAndRest(), want: rolledBack, set: behaves("north", behaviour{every: 12, workloads: 3})},
		"the hub is cut off from every member for an hour in the middle of a wave": {
			waves: canaryAndRest(), want: succeeded, set: away(20, 80, "east", "north", "west")},
		"the hub is cut off from every member for an hour, while nobody waits for peers": {
			waves: tolerant(1, canaryAndRest()), want: succeeded, set: both(ignorePeers, away(20, 80, "east", "north", "west"))},
		"who is left behind is caught up with while the next wave changes": {
			waves: tolerant(1, threeWaves()), want: succeeded,
			set: both(both(ignorePeers, away(17, 46, "north")), behaves("west", behaviour{ticks: map[meshv1alpha1.Stage]int{workloads: 9}}))},
		"who failed and who is away are together more than may fail": {
			waves: tolerant(1, atOnce(3, []meshv1alpha1.PlannedWave{wave("all", "a", "b", "c")})), want: paused,
			set: both(behaves("a", behaviour{fails: install}), behaves("b", behaviour{cutOff: workloads}))},
		"a person aborts what waits for a member that is away": {
			waves: canaryAndRest(), want: rolledBack,
			set: both(behaves("north", behaviour{cutOff: workloads, back: 60}), happens(wants(50, meshv1alpha1.UpgradeStateAbort)))},
		"a member that waits for another one that is away does not fail by its deadline": {
			waves: atOnce(2, canaryAndRest()), want: succeeded,
			set: both(away(17, 46, "west"), behaves("north", behaviour{hang: install, back: 35}))},
		"a deadline does not count what a member was away": {
			waves: canaryAndRest(), want: succeeded,
			set: both(away(23, 40, "north"), behaves("north", behaviour{ticks: map[meshv1alpha1.Stage]int{workloads: 25}}))},
	}
	for _, stage := range []meshv1alpha1.Stage{install, meshv1alpha1.StageGateways, workloads, soak} {
		cases["a member is cut off in stage "+string(stage)+" for long, which pauses the upgrade until it is back"] = scenario{
			waves: canaryAndRest(), set: behaves("north", behaviour{cutOff: stage, back: 40}), want: succeeded}
	}
	return cases
}

// wantsOther lets the spec ask for another target from a tick on.
func wantsOther(ticks int) event {
	return at(ticks, "the spec asks for another target", func(w *world) { w.isSuperseded = true })
}

// wantsFormer lets the spec ask again for what the upgrade came from.
func wantsFormer(ticks int) event {
	return at(ticks, "the spec asks for the former target", func(w *world) { w.isSuperseded, w.isTakenBack = true, true })
}

// superseded are stories of upgrades that another target ends. In the scenario the second wave's first member is ordered
// Install after 15 ticks, Gateways after 18, Workloads after 21, Soak after 24, and Retire with its peer after 38.
func superseded() map[string]scenario {
	workloads, soak := meshv1alpha1.StageWorkloads, meshv1alpha1.StageSoak
	scoped := scoped(meshv1alpha1.RollbackScopeMember)
	return map[string]scenario{
		"another target before anything began":                        {waves: canaryAndRest(), set: happens(wantsOther(0)), want: rolledBack},
		"another target while the first member is half way":           {waves: canaryAndRest(), set: happens(wantsOther(5)), want: rolledBack},
		"another target while the first member soaks":                 {waves: canaryAndRest(), set: happens(wantsOther(12)), want: stopped},
		"another target in the second wave's stage Install":           {waves: canaryAndRest(), set: happens(wantsOther(16)), want: stopped},
		"another target in the second wave's stage Gateways":          {waves: canaryAndRest(), set: happens(wantsOther(19)), want: stopped},
		"another target in the second wave's stage Workloads":         {waves: canaryAndRest(), set: happens(wantsOther(22)), want: stopped},
		"another target when the workloads have just moved":           {waves: canaryAndRest(), set: happens(wantsOther(24)), want: stopped},
		"another target in the second wave's stage Soak":              {waves: canaryAndRest(), set: happens(wantsOther(26)), want: stopped},
		"another target while the whole mesh soaks":                   {waves: canaryAndRest(), set: happens(wantsOther(36)), want: stopped},
		"the former target in the second wave takes everything back":  {waves: canaryAndRest(), set: happens(wantsFormer(22)), want: rolledBack},
		"the former target after another one takes everything back":   {waves: canaryAndRest(), set: happens(wantsOther(22), wantsFormer(23)), want: rolledBack},
		"another target, and the upgrade's own again when it is late": {waves: canaryAndRest(), set: happens(wantsOther(22), at(23, "the spec asks for the target again", func(w *world) { w.isSuperseded = false })), want: stopped},
		"another target while an upgrade is paused":                   {waves: canaryAndRest(), set: happens(wants(22, meshv1alpha1.UpgradeStatePause), wantsOther(30)), want: stopped},
		"another target while a member that soaks has failed": {
			waves: canaryAndRest(), set: both(pauseOnFailure, both(behaves("north", behaviour{fails: soak}), happens(wantsOther(40)))), want: stopped},
		"another target does not wait for who is away half way": {
			waves: canaryAndRest(), set: both(behaves("north", behaviour{cutOff: workloads}), happens(wantsOther(40))), want: stopped},
		"another target does not wait for what keeps the former revision": {
			waves: canaryAndRest(), set: both(behaves("east", behaviour{puzzled: meshv1alpha1.StageRetire}), happens(wantsOther(22))), want: stopped},
		"another target while an upgrade stops keeps the first cause": {
			waves: atOnce(2, canaryAndRest()), want: stopped,
			set: both(both(scoped, behaves("north", behaviour{ticks: map[meshv1alpha1.Stage]int{workloads: 9}})), both(behaves("west", behaviour{fails: meshv1alpha1.StageInstall}), happens(wantsOther(22))))},
		"a person aborts while another target takes back who is half way": {
			waves: canaryAndRest(), set: happens(wantsOther(22), wants(23, meshv1alpha1.UpgradeStateAbort)), want: rolledBack},
	}
}

// TestHubHint names the hub only when more than one member, and most of them, cannot be reached.
func TestHubHint(t *testing.T) {
	got := map[int]bool{}
	for down := range 4 {
		w := newWorld(t, threeWaves()...)
		for _, name := range []string{"east", "north", "west"}[:down] {
			setReachable(w.member(name), false, w.now)
		}
		in := w.stored()
		got[down] = newRollout(in, in.Upgrade.Status.DeepCopy()).hubHint() != ""
	}
	if diff := cmp.Diff(map[int]bool{0: false, 1: false, 2: true, 3: true}, got); diff != "" {
		t.Errorf("hint by members of three that cannot be reached (-want +got):\n%s", diff)
	}
}
