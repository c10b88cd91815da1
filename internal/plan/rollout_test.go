package plan

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
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
	waves, err := Waves(inst)
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

func answers(ticks int, wave string, decision meshv1alpha1.Decision) event {
	return at(ticks, fmt.Sprintf("wave %s: %s", wave, decision), func(w *world) {
		for i := range w.approvals {
			if w.approvals[i].Spec.Wave == wave {
				w.approvals[i].Spec.Decision = decision
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

func pauseOnFailure(w *world) { w.upgrade.Spec.OnFailure = meshv1alpha1.FailureActionPause }

// eventful is the seed whose story is a golden file.
const eventful = 97

const (
	succeeded  = meshv1alpha1.UpgradeSucceeded
	rolledBack = meshv1alpha1.UpgradeRolledBack
	paused     = meshv1alpha1.UpgradePaused
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
		"a wave that is rejected takes everything back": {
			waves: asking(1, canaryAndRest()), set: happens(answers(30, "rest", meshv1alpha1.DecisionRejected)), want: rolledBack},
		"a member that joins is left alone": {
			waves: canaryAndRest(), set: happens(at(6, "south joins", func(w *world) { w.join("south") })), want: succeeded},
		"a member that leaves is not waited for": {
			waves: canaryAndRest(), want: succeeded,
			set: both(behaves("north", behaviour{hang: install}), happens(at(19, "north leaves", func(w *world) { w.leave("north") })))},
		"a member that cannot be reached before its turn is waited for": {
			waves: canaryAndRest(), set: happens(reachable(3, "west", false), reachable(32, "west", true)), want: succeeded},
		"a member that cannot be reached before its turn fails in the end, untouched": {
			waves: tolerant(1, canaryAndRest()), set: happens(reachable(3, "west", false)), want: succeeded},
		"an approval after hours does not fail who cannot be reached at once": {
			waves: asking(1, canaryAndRest()), want: succeeded,
			set: happens(reachable(3, "west", false), answers(200, "rest", meshv1alpha1.DecisionApproved), reachable(205, "west", true))},
		"an approval after hours does not spare who cannot be reached for good": {
			waves: tolerant(1, asking(1, canaryAndRest())), want: succeeded,
			set: happens(reachable(3, "west", false), answers(200, "rest", meshv1alpha1.DecisionApproved))},
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
		meshv1alpha1.StageRollBack, meshv1alpha1.StageDiscard,
	} {
		short, long := behaviour{cutOff: stage, back: 4}, behaviour{cutOff: stage, back: 40}
		want := succeeded
		if stage == meshv1alpha1.StageRollBack || stage == meshv1alpha1.StageDiscard {
			short.fails, long.fails, want = workloads, workloads, rolledBack
		}
		cases[fmt.Sprintf("a member is cut off in stage %s for a moment", stage)] = scenario{
			waves: canaryAndRest(), set: behaves("north", short), want: want}
		cases[fmt.Sprintf("a member is cut off in stage %s for long, which is tolerated", stage)] = scenario{
			waves: tolerant(1, canaryAndRest()), set: behaves("north", long), want: succeeded}
	}
	return cases
}

func (s scenario) world(t *testing.T) *world {
	w := newWorld(t, s.waves...)
	if s.set != nil {
		s.set(w)
	}
	return w
}

// TestRollout plays every scenario in fixed order and writes its story down: what is ordered, and the upgrade's status
// with moved, finished and all members of each wave.
func TestRollout(t *testing.T) {
	for name, s := range scenarios() {
		t.Run(name, func(t *testing.T) {
			w := s.world(t)
			w.run(300)
			if got := w.upgrade.Status.Phase; got != s.want {
				t.Errorf("the upgrade is %s in the end, want %s", got, s.want)
			}
			testutil.Golden(t, w.log.String())
		})
	}
}

// TestRolloutSurvivesRestarts kills the operator before every other order, or after the first order of each pass. The
// story must end as it does without.
func TestRolloutSurvivesRestarts(t *testing.T) {
	for name, s := range scenarios() {
		t.Run(name, func(t *testing.T) {
			w := s.world(t)
			writes := 0
			w.crash = func() bool { writes++; return writes%2 == 1 }
			w.run(300)
			if got := w.upgrade.Status.Phase; got != s.want {
				t.Errorf("the upgrade is %s in the end, want %s:\n%s", got, s.want, w.log.String())
			}
		})
	}
}

// TestRolloutInAnyOrder plays every scenario with members that act in any order, and a hub that looks in between.
func TestRolloutInAnyOrder(t *testing.T) {
	for name, s := range scenarios() {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(5) {
				w := newWorld(t, s.waves...)
				if s.set != nil {
					s.set(w)
				}
				w.random = rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // repeatable on purpose
				w.mute = seed%2 == 1
				w.run(300)
				if got := w.upgrade.Status.Phase; got != s.want {
					t.Fatalf("seed %d: the upgrade is %s in the end, want %s:\n%s", seed, got, s.want, w.log.String())
				}
			}
		})
	}
}

// TestRolloutAtRandom plays fleets, strategies, misfortunes and people of all kinds. Nobody waits for ever: in the end
// everything is reachable, and a person takes back what has not finished.
func TestRolloutAtRandom(t *testing.T) {
	for seed := range uint64(101) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // repeatable on purpose
			w := randomWorld(t, random)
			w.run(400)
			if !w.upgrade.Status.Phase.IsFinished() {
				w.say("— everybody is well, a person aborts —")
				for name, b := range w.behaviour {
					*b = behaviour{over: true}
					if m := w.member(name); m != nil && !isReachable(m) {
						setReachable(m, true, w.now)
					}
				}
				w.state, w.changed = meshv1alpha1.UpgradeStateAbort, true
				w.run(100)
			}
			if phase := w.upgrade.Status.Phase; !phase.IsFinished() {
				w.violated("the upgrade is %s for ever", phase)
			}
			// The one in which most happens.
			if seed == eventful {
				testutil.Golden(t, w.log.String())
			}
		})
	}
}

func randomWorld(t *testing.T, random *rand.Rand) *world {
	var waves []meshv1alpha1.PlannedWave
	var names []string
	for i := range 1 + random.IntN(3) {
		var members []string
		for j := range random.IntN(5) {
			members = append(members, fmt.Sprintf("%c%d", 'a'+i, j))
		}
		planned := wave(fmt.Sprintf("wave-%d", i), members...)
		planned.MaxConcurrent = int32(1 + random.IntN(3))
		planned.MaxFailures = int32(random.IntN(3))
		planned.Soak = metav1.Duration{Duration: time.Duration(random.IntN(8)) * tick}
		if random.IntN(3) == 0 {
			planned.Approval = meshv1alpha1.ApprovalRequired
		}
		waves, names = append(waves, planned), append(names, members...)
	}
	w := newWorld(t, waves...)
	w.random = random
	w.crash = func() bool { return random.IntN(10) == 0 }
	w.forget = func() bool { return random.IntN(20) == 0 }
	w.mute = random.IntN(2) == 0
	if random.IntN(4) == 0 {
		pauseOnFailure(w)
	}
	for _, name := range names {
		*w.behaviour[name] = randomBehaviour(random)
	}
	w.events = randomEvents(random, names, waves)
	return w
}

func randomBehaviour(random *rand.Rand) behaviour {
	stages := []meshv1alpha1.Stage{
		meshv1alpha1.StageInstall, meshv1alpha1.StageGateways, meshv1alpha1.StageWorkloads, meshv1alpha1.StageSoak,
		meshv1alpha1.StageRetire, meshv1alpha1.StageRollBack, meshv1alpha1.StageDiscard,
	}
	b := behaviour{ticks: map[meshv1alpha1.Stage]int{}, back: random.IntN(30)}
	for _, s := range stages {
		b.ticks[s] = random.IntN(9)
	}
	stage := stages[random.IntN(len(stages))]
	switch random.IntN(20) {
	case 0:
		b.fails = stage
	case 1:
		b.puzzled = stage
	case 2, 3:
		b.cutOff = stage
	case 4:
		b.hang = stage
	}
	return b
}

func randomEvents(random *rand.Rand, names []string, waves []meshv1alpha1.PlannedWave) []event {
	var events []event
	for i := range waves {
		decision := meshv1alpha1.DecisionApproved
		if random.IntN(6) == 0 {
			decision = meshv1alpha1.DecisionRejected
		}
		// People look again and again.
		for when := random.IntN(40); when < 400; when += 20 {
			events = append(events, answers(when, waves[i].Name, decision))
		}
	}
	when := random.IntN(80)
	switch random.IntN(6) {
	case 0:
		events = append(events, wants(when, meshv1alpha1.UpgradeStatePause), wants(when+random.IntN(30), meshv1alpha1.UpgradeStateRun))
	case 1:
		events = append(events, wants(when, meshv1alpha1.UpgradeStateAbort))
	case 2:
		events = append(events, at(when, "south joins", func(w *world) { w.join("south") }))
	case 3:
		if len(names) > 0 {
			name := names[random.IntN(len(names))]
			events = append(events, at(when, name+" leaves", func(w *world) { w.leave(name) }))
		}
	}
	return events
}
