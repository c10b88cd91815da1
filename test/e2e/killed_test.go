//go:build e2e && upgrades

package e2e

import (
	"context"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// leastKills is how often the operator must have been killed for the part to prove anything. An upgrade writes more kinds of
// things, but some only in one go with others. How many are told apart is a matter of luck: 28 to 37 were.
const leastKills = 20

// upgradeKilled changes a value while the operator is killed again and again: after the first write of every kind and
// name that it makes, on the hub and in members. Whatever it was in the middle of, the next process goes on.
func (s *suite) upgradeKilled(t *testing.T) {
	ctx := t.Context()
	s.patience(t, 10*time.Minute)
	killer, err := s.env.NewKiller(ctx)
	if err != nil {
		t.Fatal(err)
	}
	follow, stop := context.WithCancel(ctx)
	var kills sync.WaitGroup
	var begin sync.Once
	u := s.upgradeUnderLoad(t, s.env.Members(), meshv1alpha1.UpgradeSucceeded, value("31", "env", "PILOT_PUSH_THROTTLE"),
		func(*meshv1alpha1.MeshUpgrade) error {
			// Not before the change of the spec, which the operator admits.
			begin.Do(func() { kills.Go(func() { killer.Follow(follow) }) })
			return nil
		})
	stop()
	kills.Wait()
	s.step(t, "the last operator runs", func() error { return s.env.AwaitOperator(ctx) })
	after, err := killer.Report()
	if err != nil {
		t.Error(err)
	}
	s.env.Logf("  killed %d times, after:", len(after))
	for _, write := range after {
		s.env.Logf("    %s", write)
	}
	if len(after) < leastKills {
		t.Errorf("the operator was killed %d times, want at least %d", len(after), leastKills)
	}
	s.requireUpgraded(t, u)
}

// patience gives members longer for a stage for the time of a test.
func (s *suite) patience(t *testing.T, deadline time.Duration) {
	t.Helper()
	s.keepWaves(t)
	s.edit(t, func(m *meshv1alpha1.MeshInstallation) {
		for i := range m.Spec.Upgrade.Waves {
			m.Spec.Upgrade.Waves[i].ProgressDeadline = &metav1.Duration{Duration: deadline}
		}
	})
}

// keepWaves lets the waves be as they are now when the test is over.
func (s *suite) keepWaves(t *testing.T) {
	t.Helper()
	mesh, err := s.env.Installation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.edit(t, func(m *meshv1alpha1.MeshInstallation) { m.Spec.Upgrade.Waves = mesh.Spec.Upgrade.Waves })
	})
}

// edit changes what does not start an upgrade, also when the test is over.
func (s *suite) edit(t *testing.T, change func(*meshv1alpha1.MeshInstallation)) {
	t.Helper()
	if err := s.env.EditMesh(context.WithoutCancel(t.Context()), change); err != nil {
		t.Error(err)
	}
}
