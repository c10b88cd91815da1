package rollout

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// eventful is the seed whose story is a golden file.
const eventful = 97

// TestRolloutAtRandom plays fleets, strategies, misfortunes and people of all kinds. Nobody waits for ever: in the end
// everything is reachable, and a person takes back what has not finished.
func TestRolloutAtRandom(t *testing.T) {
	for seed := range uint64(101) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // repeatable on purpose
			w := randomWorld(t, random)
			w.upgrade.Spec.RollbackScope = []meshv1alpha1.RollbackScope{
				meshv1alpha1.RollbackScopeWave, meshv1alpha1.RollbackScopeUpgrade, meshv1alpha1.RollbackScopeMember,
			}[seed%3]
			if seed%4 == 0 {
				// Members that are ready in between wait.
				for i := range w.upgrade.Spec.Waves {
					within(i, "*/20 * * * *", 7, w.upgrade.Spec.Waves)
				}
			}
			if seed%5 == 0 {
				w.events = append(w.events, randomOrders(random)...)
			}
			if seed%7 == 2 {
				w.events = append(w.events, randomHolds(random, w)...)
			}
			w.run(400)
			if !w.upgrade.Status.Phase.IsFinished() {
				w.say("— everybody is well, a person aborts —")
				for name, b := range w.behaviour {
					*b = behaviour{over: true}
					if m := w.member(name); m != nil && !isReachable(m) {
						setReachable(m, true, w.now)
					}
				}
				if w.changed = true; seed%2 == 0 {
					w.state = meshv1alpha1.UpgradeStateAbort
				} else {
					annotate(w.upgrade, meshv1alpha1.UpgradeActionAbort)
				}
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
	if random.IntN(3) == 0 {
		ignorePeers(w)
	}
	return w
}

func randomBehaviour(random *rand.Rand) behaviour {
	stages := []meshv1alpha1.Stage{
		meshv1alpha1.StagePreflight, meshv1alpha1.StageInstall, meshv1alpha1.StageGateways, meshv1alpha1.StageWorkloads,
		meshv1alpha1.StageSoak, meshv1alpha1.StageRetire, meshv1alpha1.StageRollback, meshv1alpha1.StageDiscard,
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
	case 4:
		events = append(events, wantsOther(when))
	case 5:
		events = append(events, wantsFormer(when))
	}
	return events
}

// randomOrders are what people write into the annotation, and think better of.
func randomOrders(random *rand.Rand) []event {
	var events []event
	words := []meshv1alpha1.UpgradeAction{"", "", meshv1alpha1.UpgradeActionPause, meshv1alpha1.UpgradeActionPause, meshv1alpha1.UpgradeActionRetry, "Stop", meshv1alpha1.UpgradeActionAbort}
	for when := random.IntN(20); when < 200; when += 1 + random.IntN(20) {
		events = append(events, orders(when, words[random.IntN(len(words)-random.IntN(2))]))
	}
	return append(events, orders(200, ""))
}
