package rollout

import (
	"fmt"
	"maps"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// scenario is a fleet and what befalls it.
type scenario struct {
	waves []meshv1alpha1.PlannedWave
	set   func(*world)
	want  meshv1alpha1.UpgradePhase
}

// canaryAndRest are three members, one of which goes first.
func canaryAndRest() []meshv1alpha1.PlannedWave {
	return []meshv1alpha1.PlannedWave{wave("canary", "east"), wave("rest", "north", "west")}
}

// nine are nine members in the default waves: one first, then a quarter of the others at a time.
func nine() []meshv1alpha1.PlannedWave {
	inst := testutil.Installation()
	for i := range 9 {
		testutil.With(fmt.Sprintf("a%d", i+1))(inst)
	}
	waves, err := upgrade.Waves(inst)
	if err != nil {
		panic("members of a test cannot be planned: " + err.Error())
	}
	return waves
}

func tolerant(failures int32, waves []meshv1alpha1.PlannedWave) []meshv1alpha1.PlannedWave {
	for i := range waves {
		waves[i].MaxFailures = failures
	}
	return waves
}

func asking(wave int, waves []meshv1alpha1.PlannedWave) []meshv1alpha1.PlannedWave {
	waves[wave].Approval = meshv1alpha1.ApprovalRequired
	return waves
}

func at(ticks int, what string, do func(*world)) event { return event{at: ticks, what: what, do: do} }

func wants(ticks int, state meshv1alpha1.UpgradeState) event {
	return at(ticks, fmt.Sprintf("spec.upgrade.state: %s", state), func(w *world) { w.state = state })
}

// answers decides what is asked at that time. A decision stands.
func answers(ticks int, wave string, decision meshv1alpha1.Decision) event {
	return at(ticks, "", func(w *world) {
		for i := range w.approvals {
			if a := &w.approvals[i].Spec; a.Wave == wave && a.Decision == meshv1alpha1.DecisionPending {
				a.Decision = decision
				w.say("— wave %s: %s —", wave, decision)
			}
		}
	})
}

// approvesFor approves what is asked at that time, for that many ticks.
func approvesFor(ticks int, wave string, long int) event {
	return at(ticks, "", func(w *world) {
		for i := range w.approvals {
			if a := &w.approvals[i].Spec; a.Wave == wave && a.Decision == meshv1alpha1.DecisionPending {
				a.Decision, a.Expires = meshv1alpha1.DecisionApproved, &metav1.Time{Time: w.now.Add(time.Duration(long) * tick)}
				w.say("— wave %s: Approved until %s —", wave, a.Expires.UTC().Format(time.TimeOnly))
			}
		}
	})
}

func reachable(ticks int, name string, yes bool) event {
	what := map[bool]string{true: "can be reached again", false: "cannot be reached"}[yes]
	return at(ticks, name+" "+what, func(w *world) { setReachable(w.member(name), yes, w.now) })
}

func happens(events ...event) func(*world) {
	return func(w *world) { w.events = events }
}

func behaves(name string, b behaviour) func(*world) {
	return func(w *world) { *w.behaviour[name] = b }
}

func both(first, second func(*world)) func(*world) {
	return func(w *world) { first(w); second(w) }
}

// scoped limits who goes back.
func scoped(scope meshv1alpha1.RollbackScope) func(*world) {
	return func(w *world) { w.upgrade.Spec.RollbackScope = scope }
}

// atOnce lets this many members of a wave change at the same time.
func atOnce(n int32, waves []meshv1alpha1.PlannedWave) []meshv1alpha1.PlannedWave {
	for i := range waves {
		waves[i].MaxConcurrent = n
	}
	return waves
}

func pauseOnFailure(w *world) { w.upgrade.Spec.OnFailure = meshv1alpha1.FailureActionPause }

// loseRollback loses the status by which an upgrade begins to go back, after the orders were written.
func loseRollback(w *world) {
	isLost := false
	w.forget = func() bool {
		if isLost || w.upgrade.Status.Phase != meshv1alpha1.UpgradeRollingBack {
			return false
		}
		isLost = true
		return true
	}
}

const (
	succeeded  = meshv1alpha1.UpgradeSucceeded
	rolledBack = meshv1alpha1.UpgradeRolledBack
	paused     = meshv1alpha1.UpgradePaused
	stopped    = meshv1alpha1.UpgradeStopped
)

func scenarios() map[string]scenario {
	install, workloads, soak := meshv1alpha1.StageInstall, meshv1alpha1.StageWorkloads, meshv1alpha1.StageSoak
	cases := map[string]scenario{
		"one member first, then the rest one by one":              {waves: canaryAndRest(), want: succeeded},
		"one of nine first, then a quarter of the rest at a time": {waves: nine(), want: succeeded},
		"a failure of the canary leaves the rest untouched": {
			waves: canaryAndRest(), set: behaves("east", behaviour{fails: install}), want: rolledBack},
		"a failure in the second wave takes everything back": {
			waves: canaryAndRest(), set: behaves("west", behaviour{fails: workloads}), want: rolledBack},
		"a failure while soaking takes the wave back": {
			waves: canaryAndRest(), set: behaves("east", behaviour{fails: soak}), want: rolledBack},
		"one failure of a wave is tolerated": {
			waves: tolerant(1, nine()), set: behaves("a3", behaviour{fails: workloads}), want: succeeded},
		"a second failure is not": {
			waves: tolerant(1, nine()), want: rolledBack,
			set: both(behaves("a3", behaviour{fails: workloads}), behaves("a6", behaviour{fails: install}))},
		"a failure pauses if that is wanted, until a person takes everything back": {
			waves: canaryAndRest(), want: rolledBack,
			set: both(both(pauseOnFailure, behaves("east", behaviour{fails: install})), happens(wants(8, meshv1alpha1.UpgradeStateAbort)))},
		"a failure that pauses goes away": {
			waves: canaryAndRest(), set: both(pauseOnFailure, behaves("east", behaviour{hang: install, back: 15})), want: succeeded},
		"a pause stops every next step until it ends": {
			waves: canaryAndRest(), set: happens(wants(2, meshv1alpha1.UpgradeStatePause), wants(60, meshv1alpha1.UpgradeStateRun)), want: succeeded},
		"going back cannot be paused": {
			waves: canaryAndRest(), want: rolledBack,
			set: both(behaves("west", behaviour{fails: workloads}), happens(orders(34, meshv1alpha1.UpgradeActionPause), wants(35, meshv1alpha1.UpgradeStatePause)))},
		"a person takes everything back in the first wave": {
			waves: canaryAndRest(), set: happens(wants(5, meshv1alpha1.UpgradeStateAbort)), want: rolledBack},
		"a person takes everything back while the first wave retires, and thinks better of it too late": {
			waves: canaryAndRest(), set: happens(wants(18, meshv1alpha1.UpgradeStateAbort), wants(19, meshv1alpha1.UpgradeStateRun)), want: rolledBack},
		"a person takes everything back before anything began": {
			waves: canaryAndRest(), set: happens(wants(0, meshv1alpha1.UpgradeStateAbort)), want: rolledBack},
		"a wave waits for approval and gets it": {
			waves: asking(1, canaryAndRest()), set: happens(answers(90, "rest", meshv1alpha1.DecisionApproved)), want: succeeded},
		"the first wave waits for approval too": {
			waves: asking(0, canaryAndRest()), set: happens(answers(90, "canary", meshv1alpha1.DecisionApproved)), want: succeeded},
		"an approval that is not used in time is asked for again": {
			waves: asking(1, canaryAndRest()), want: succeeded,
			set: happens(wants(29, meshv1alpha1.UpgradeStatePause), approvesFor(30, "rest", 10), wants(50, meshv1alpha1.UpgradeStateRun),
				answers(90, "rest", meshv1alpha1.DecisionApproved))},
		"an approval that expires after its wave started is no matter": {
			waves: asking(1, canaryAndRest()), set: happens(approvesFor(30, "rest", 2)), want: succeeded},
		"an approval that is being deleted is none": {
			waves: asking(1, canaryAndRest()), want: succeeded,
			set: happens(at(30, "a person deletes the approval and approves it then", func(w *world) {
				a := &w.approvals[0]
				a.DeletionTimestamp, a.Spec.Decision = &metav1.Time{Time: w.now}, meshv1alpha1.DecisionApproved
				a.Name += "-deleted"
			}), answers(90, "rest", meshv1alpha1.DecisionApproved))},
		"a wave that is rejected takes everything back": {
			waves: asking(1, canaryAndRest()), set: happens(answers(30, "rest", meshv1alpha1.DecisionRejected)), want: rolledBack},
		"a member that joins is left alone": {
			waves: canaryAndRest(), set: happens(at(6, "south joins", func(w *world) { w.join("south") })), want: succeeded},
		"a member that leaves is not waited for": {
			waves: canaryAndRest(), want: succeeded,
			set: both(behaves("north", behaviour{hang: install}), happens(at(19, "north leaves", func(w *world) { w.leave("north") })))},
		"a member that cannot be reached before its turn is waited for": {
			waves: canaryAndRest(), set: happens(reachable(3, "west", false), reachable(32, "west", true)), want: succeeded},
		"a member that cannot be reached before its turn is left behind, and caught up with later": {
			waves: tolerant(1, canaryAndRest()), set: both(ignorePeers, happens(reachable(3, "west", false), reachable(90, "west", true))), want: succeeded},
		"an approval after hours does not fail who cannot be reached at once": {
			waves: asking(1, canaryAndRest()), want: succeeded,
			set: happens(reachable(3, "west", false), answers(200, "rest", meshv1alpha1.DecisionApproved), reachable(205, "west", true))},
		"a member that cannot be reached long before its turn is no failure": {
			waves: canaryAndRest(), want: succeeded,
			set: both(behaves("east", behaviour{ticks: map[meshv1alpha1.Stage]int{install: 9}}), happens(reachable(1, "west", false), reachable(18, "west", true)))},
		"a failure that pauses does not keep who failed before from going back": {
			waves: tolerant(1, nine()), want: rolledBack,
			set: both(
				both(behaves("a2", behaviour{fails: install}), behaves("a3", behaviour{fails: install, ticks: map[meshv1alpha1.Stage]int{install: 3}})),
				both(pauseOnFailure, happens(wants(50, meshv1alpha1.UpgradeStateAbort))))},
		"a way back that cannot be judged does not pause the others": {
			waves: tolerant(1, nine()), want: succeeded,
			set: behaves("a3", behaviour{fails: workloads, puzzled: meshv1alpha1.StageRollback, back: 8})},
		"an approval after hours does not let the upgrade end without who cannot be reached": {
			waves: tolerant(1, asking(1, canaryAndRest())), want: paused,
			set: both(ignorePeers, happens(reachable(3, "west", false), answers(200, "rest", meshv1alpha1.DecisionApproved)))},
		"a wave that has started needs no approval again": {
			waves: asking(1, canaryAndRest()), want: succeeded,
			set: happens(answers(20, "rest", meshv1alpha1.DecisionApproved), at(25, "the approval is deleted", func(w *world) { w.approvals = nil }))},
		"a wave has not soaked while one of it cannot be reached": {
			waves: canaryAndRest(), set: happens(reachable(13, "east", false), reachable(18, "east", true)), want: succeeded},
		"a wave soaks again when a member has left and come back": {
			waves: canaryAndRest(), want: succeeded,
			set: happens(at(33, "north leaves", func(w *world) { w.leave("north") }), at(34, "north joins", func(w *world) { w.join("north") }))},
		"a proof that takes the soak and more is no failure": {
			waves: canaryAndRest(), want: succeeded,
			set: behaves("east", behaviour{ticks: map[meshv1alpha1.Stage]int{soak: 13}})},
		"the way back goes on when the record of the failure was lost": {
			waves: canaryAndRest(), set: both(behaves("west", behaviour{fails: workloads}), loseRollback), want: rolledBack},
		"a verdict that cannot be given pauses until it can": {
			waves: canaryAndRest(), set: behaves("north", behaviour{puzzled: install, back: 30}), want: succeeded},
		"a member that was puzzled for longer than its deadline still gets time": {
			waves: canaryAndRest(), set: behaves("north", behaviour{puzzled: install, back: 30, then: 5}), want: succeeded},
		"a verdict that can never be given pauses for good": {
			waves: canaryAndRest(), set: behaves("east", behaviour{puzzled: soak}), want: paused},
		"a stage that takes too long is a failure": {
			waves: canaryAndRest(), set: behaves("north", behaviour{hang: workloads}), want: rolledBack},
	}
	for _, stage := range []meshv1alpha1.Stage{
		install, meshv1alpha1.StageGateways, workloads, soak, meshv1alpha1.StageRetire,
		meshv1alpha1.StageRollback, meshv1alpha1.StageDiscard,
	} {
		short, long := behaviour{cutOff: stage, back: 4}, behaviour{cutOff: stage, back: 40}
		want := succeeded
		if stage == meshv1alpha1.StageRollback || stage == meshv1alpha1.StageDiscard {
			short.fails, long.fails, want = workloads, workloads, rolledBack
		}
		cases[fmt.Sprintf("a member is cut off in stage %s for a moment", stage)] = scenario{
			waves: canaryAndRest(), set: behaves("north", short), want: want}
		cases[fmt.Sprintf("a member is cut off in stage %s for long, which is tolerated", stage)] = scenario{
			waves: tolerant(1, canaryAndRest()), set: behaves("north", long), want: succeeded}
	}
	maps.Copy(cases, scopes())
	maps.Copy(cases, preflightScenarios())
	maps.Copy(cases, windows())
	maps.Copy(cases, steered())
	maps.Copy(cases, stragglers())
	maps.Copy(cases, superseded())
	return cases
}
