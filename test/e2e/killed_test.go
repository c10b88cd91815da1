//go:build e2e && upgrades

package e2e

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// leastKills is how often the operator must have been killed for the part to prove anything: an upgrade writes a good deal
// more kinds of things.
const leastKills = 40

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
	done := make(chan struct{})
	go func() {
		defer close(done)
		killer.Follow(follow)
	}()
	u := s.upgradeUnderLoad(t, s.env.Members(), meshv1alpha1.UpgradeSucceeded, value("31", "env", "PILOT_PUSH_THROTTLE"), nil)
	stop()
	<-done
	kills, err := killer.Report()
	if err != nil {
		t.Error(err)
	}
	s.env.Logf("  killed %d times, after:", len(kills))
	for _, k := range kills {
		s.env.Logf("    %s", k)
	}
	if len(kills) < leastKills {
		t.Errorf("the operator was killed %d times, want at least %d", len(kills), leastKills)
	}
	s.requireUpgraded(t, u)
}

// patience gives members longer for a stage for the time of a test.
func (s *suite) patience(t *testing.T, deadline time.Duration) {
	t.Helper()
	var former []meshv1alpha1.Wave
	s.edit(t, func(m *meshv1alpha1.MeshInstallation) {
		former = m.DeepCopy().Spec.Upgrade.Waves
		for i := range m.Spec.Upgrade.Waves {
			m.Spec.Upgrade.Waves[i].ProgressDeadline = &metav1.Duration{Duration: deadline}
		}
	})
	t.Cleanup(func() {
		s.edit(t, func(m *meshv1alpha1.MeshInstallation) { m.Spec.Upgrade.Waves = former })
	})
}

// edit changes what does not start an upgrade, also when the test is over.
func (s *suite) edit(t *testing.T, change func(*meshv1alpha1.MeshInstallation)) {
	t.Helper()
	if err := s.env.EditMesh(context.WithoutCancel(t.Context()), change); err != nil {
		t.Error(err)
	}
}
