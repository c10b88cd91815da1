package rollout

import meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"

func ignorePeers(w *world) { w.peers = meshv1alpha1.UnreachablePeersIgnore }

// finds lets a member's preflight find something in the way from a time on, until so many ticks after it was ordered.
func finds(ticks int, name string, back int) event {
	return at(ticks, name+" has no room any more", func(w *world) {
		*w.behaviour[name] = behaviour{puzzled: meshv1alpha1.StagePreflight, back: back}
	})
}

// preflightScenarios are what befalls a fleet before anything changes.
func preflightScenarios() map[string]scenario {
	preflight, install := meshv1alpha1.StagePreflight, meshv1alpha1.StageInstall
	return map[string]scenario{
		"nothing begins while a preflight finds something in the way, and then it does": {
			waves: canaryAndRest(), set: behaves("north", behaviour{puzzled: preflight, back: 20}), want: succeeded},
		"what is in the way for good is waited for, until a person gives up": {
			waves: canaryAndRest(), set: both(behaves("west", behaviour{puzzled: preflight}), happens(wants(40, meshv1alpha1.UpgradeStateAbort))), want: rolledBack},
		"what comes in the way later holds only its own member": {
			waves: []meshv1alpha1.PlannedWave{wave("canary", "east"), wave("rest", "north", "south", "west")}, want: succeeded,
			set: happens(finds(5, "north", 60))},
		"what comes in the way of the last member pauses what has begun well": {
			waves: canaryAndRest(), set: happens(finds(8, "west", 80)), want: succeeded},
		"a preflight that fails ends the upgrade before anybody is touched": {
			waves: canaryAndRest(), set: behaves("west", behaviour{fails: preflight, ticks: map[meshv1alpha1.Stage]int{preflight: 3}}), want: rolledBack},
		"a preflight that fails is one of the failures that are tolerated": {
			waves: tolerant(1, canaryAndRest()), set: behaves("west", behaviour{fails: preflight}), want: succeeded},
		"a preflight that takes long is waited for": {
			waves: canaryAndRest(), set: behaves("west", behaviour{ticks: map[meshv1alpha1.Stage]int{preflight: 30}}), want: succeeded},
		"a member that cannot be reached from the start is waited for": {
			waves: canaryAndRest(), set: happens(reachable(0, "west", false), reachable(50, "west", true)), want: succeeded},
		"a member that cannot be reached for good is waited for": {
			waves: canaryAndRest(), set: happens(reachable(3, "west", false)), want: paused},
		"a member that cannot be reached while another changes does not stop that one": {
			waves: canaryAndRest(), want: succeeded,
			set: both(behaves("east", behaviour{ticks: map[meshv1alpha1.Stage]int{install: 5}}), happens(reachable(2, "west", false), reachable(60, "west", true)))},
		"the preflight comes before the approval": {
			waves: asking(0, canaryAndRest()), want: succeeded,
			set: both(behaves("west", behaviour{puzzled: preflight, back: 30}), happens(answers(10, "canary", meshv1alpha1.DecisionApproved)))},
	}
}
