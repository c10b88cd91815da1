//go:build e2e && upgrades

package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// waveGoesBack lets one member of the second wave fail, with the wave as the scope: both of its members go back, the first
// wave keeps the target. The next attempt takes all there.
func (s *suite) waveGoesBack(t *testing.T) {
	u := s.failInSecondWave(t, meshv1alpha1.RollbackScopeWave, value("32", "env", "PILOT_PUSH_THROTTLE"))
	s.requireRevisions(t, u, map[string]bool{"east": true, "west": false, third: false})
	again := s.upgradeUnderLoad(t, s.env.Members(), meshv1alpha1.UpgradeSucceeded, func(m *meshv1alpha1.MeshInstallation) error {
		m.Spec.Upgrade.Attempt++
		return nil
	}, nil)
	if again.Spec.To.Revision != u.Spec.To.Revision {
		t.Errorf("the next attempt goes to %s, want %s", again.Spec.To.Revision, u.Spec.To.Revision)
	}
	s.requireUpgraded(t, again)
}

// memberGoesBack is the same with the member as the scope: only that one goes back, and its peer finishes. The former spec
// takes all back.
func (s *suite) memberGoesBack(t *testing.T) {
	u := s.failInSecondWave(t, meshv1alpha1.RollbackScopeMember, value("33", "env", "PILOT_PUSH_THROTTLE"))
	s.requireRevisions(t, u, map[string]bool{"east": true, "west": false, third: true})
	back := s.upgradeUnderLoad(t, s.env.Members(), meshv1alpha1.UpgradeSucceeded, value("32", "env", "PILOT_PUSH_THROTTLE"), nil)
	if back.Spec.To.Revision != u.Spec.From.Revision {
		t.Errorf("the former spec takes the members to %s, want %s", back.Spec.To.Revision, u.Spec.From.Revision)
	}
	s.requireUpgraded(t, back)
}

// failInSecondWave goes to another target, with one member of the second wave whose proxies reject their configuration.
func (s *suite) failInSecondWave(
	t *testing.T, scope meshv1alpha1.RollbackScope, change func(*meshv1alpha1.MeshInstallation) error,
) *meshv1alpha1.MeshUpgrade {
	t.Helper()
	const fails = "west"
	applied := ""
	take := func() {
		if applied == "" {
			return
		}
		if err := s.env.Cluster(fails).Delete(context.WithoutCancel(t.Context()), applied); err != nil {
			t.Error(err)
		}
		applied = ""
	}
	t.Cleanup(take)
	t.Cleanup(func() {
		s.edit(t, func(m *meshv1alpha1.MeshInstallation) {
			m.Spec.Upgrade.RollbackScope = meshv1alpha1.RollbackScopeUpgrade
		})
	})
	u := s.upgradeUnderLoad(t, s.env.Members(), meshv1alpha1.UpgradeStopped, func(m *meshv1alpha1.MeshInstallation) error {
		m.Spec.Upgrade.RollbackScope = scope
		return change(m)
	}, func(u *meshv1alpha1.MeshUpgrade) error {
		if applied != "" {
			return nil
		}
		applied = fmt.Sprintf(filter, u.Spec.To.Revision)
		return s.env.Cluster(fails).Apply(t.Context(), applied)
	})
	take()
	s.env.Logf("  stopped: %s", u.Status.Message)
	if !slices.Equal(u.Status.Failed, []string{fails}) || u.Status.Cause != meshv1alpha1.CauseFailed {
		t.Errorf("failed: %v, cause %s; want %s alone, cause %s", u.Status.Failed, u.Status.Cause, fails, meshv1alpha1.CauseFailed)
	}
	return u
}

// requireRevisions wants members to run the target of an upgrade, or what they came from, and nothing else.
func (s *suite) requireRevisions(t *testing.T, u *meshv1alpha1.MeshUpgrade, isMoved map[string]bool) {
	t.Helper()
	for member, moved := range isMoved {
		want := u.Spec.From.Revision
		if moved {
			want = u.Spec.To.Revision
		}
		if err := s.env.AwaitRevision(t.Context(), member, want); err != nil {
			t.Error(err)
		}
	}
}
