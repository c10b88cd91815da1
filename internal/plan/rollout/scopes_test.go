package rollout

import meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"

// scopes are stories of ways back that do not concern everybody.
func scopes() map[string]scenario {
	install, workloads, retire := meshv1alpha1.StageInstall, meshv1alpha1.StageWorkloads, meshv1alpha1.StageRetire
	wholeWave, member := scoped(meshv1alpha1.RollbackScopeWave), scoped(meshv1alpha1.RollbackScopeMember)
	slow := func(stage meshv1alpha1.Stage) behaviour {
		return behaviour{ticks: map[meshv1alpha1.Stage]int{stage: 9}}
	}
	three := func() []meshv1alpha1.PlannedWave {
		return []meshv1alpha1.PlannedWave{wave("canary", "east"), wave("middle", "north", "south"), wave("last", "west")}
	}
	return map[string]scenario{
		"with the scope Wave a failure in the second wave leaves the first on the target": {
			waves: three(), set: both(wholeWave, behaves("south", behaviour{fails: workloads})), want: stopped},
		"with the scope Wave who has moved goes back with the wave": {
			waves: atOnce(2, three()), want: stopped,
			set: both(wholeWave, both(behaves("south", behaviour{fails: workloads, ticks: map[meshv1alpha1.Stage]int{workloads: 9}}), behaves("north", behaviour{})))},
		"with the scope Wave a canary that fails leaves nobody on the target": {
			waves: canaryAndRest(), set: both(wholeWave, behaves("east", behaviour{fails: install})), want: rolledBack},
		"with the scope Wave a failure in the third wave leaves the others on the target, whatever retires there": {
			waves: three(), want: stopped,
			set: both(wholeWave, both(behaves("east", behaviour{puzzled: retire}), behaves("west", behaviour{fails: install})))},
		"with the scope Member only who failed goes back, who has begun finishes, and nobody starts": {
			waves: []meshv1alpha1.PlannedWave{atOnce(2, []meshv1alpha1.PlannedWave{wave("all", "a", "b", "c", "d")})[0], wave("last", "e")}, want: stopped,
			set: both(member, both(behaves("a", behaviour{fails: install}), behaves("b", slow(workloads))))},
		"with the scope Member a second failure while others finish goes back too": {
			waves: atOnce(3, []meshv1alpha1.PlannedWave{wave("all", "a", "b", "c")}), want: stopped,
			set: both(member, both(behaves("a", behaviour{fails: install}), behaves("b", behaviour{fails: workloads})))},
		"with the scope Member a failure is tolerated as before": {
			waves: tolerant(1, nine()), set: both(member, behaves("a3", behaviour{fails: workloads})), want: succeeded},
		"with the scope Wave a wave that is rejected leaves those before it on the target": {
			waves: asking(1, three()), set: both(wholeWave, happens(answers(30, "middle", meshv1alpha1.DecisionRejected))), want: stopped},
		"a pause holds who finishes, not who goes back": {
			waves: atOnce(2, canaryAndRest()), want: stopped,
			set: both(both(member, behaves("north", slow(workloads))), both(behaves("west", behaviour{fails: install}),
				happens(wants(18, meshv1alpha1.UpgradeStatePause), wants(60, meshv1alpha1.UpgradeStateRun))))},
		"a person takes everything back while an upgrade stops": {
			waves: atOnce(2, canaryAndRest()), want: rolledBack,
			set: both(both(member, behaves("north", slow(workloads))), both(behaves("west", behaviour{fails: install}),
				happens(wants(20, meshv1alpha1.UpgradeStateAbort))))},
		"a verdict that cannot be given holds who finishes, not who goes back": {
			waves: atOnce(2, canaryAndRest()), want: stopped,
			set: both(member, both(behaves("west", behaviour{fails: workloads}), behaves("north", behaviour{puzzled: workloads, back: 30})))},
	}
}
