package rollout

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshfleet/meshfleet/internal/testutil"
)

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

// TestRolloutSurvivesRestarts kills the operator before every other order that it writes. It must tell the same story as
// without that: what is decided again from the stored objects is what was lost.
func TestRolloutSurvivesRestarts(t *testing.T) {
	for name, s := range scenarios() {
		t.Run(name, func(t *testing.T) {
			calm, killed := s.world(t), s.world(t)
			calm.forget, killed.forget = never, never
			calm.run(300)
			writes := 0
			killed.crash = func() bool { writes++; return writes%2 == 1 }
			killed.run(300)
			if diff := cmp.Diff(calm.log.String(), killed.log.String()); diff != "" {
				t.Errorf("story (-without +with restarts):\n%s", diff)
			}
		})
	}
}

// TestRolloutInAnyOrder plays every scenario with members that act in any order, and a hub that looks in between.
func TestRolloutInAnyOrder(t *testing.T) {
	for name, s := range scenarios() {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(3) {
				w := s.world(t)
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
