//go:build e2e && upgrades

package e2e

import (
	"context"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
)

// memberDown cuts a member of the second wave off when the wave reaches it. One failure is allowed: the others go on, and
// the member goes back by itself when it is there again. The next attempt takes it along.
func (s *suite) memberDown(t *testing.T) {
	ctx := t.Context()
	const lost = "west"
	former, err := s.env.MeshMember(ctx, lost)
	if err != nil {
		t.Fatal(err)
	}
	isCut := false
	link := func(up bool) error {
		isCut = !up
		return s.env.Link(context.WithoutCancel(ctx), lost, up)
	}
	t.Cleanup(func() {
		if isCut {
			if err := link(true); err != nil {
				t.Error(err)
			}
		}
	})
	u := s.upgradeUnderLoad(t, []string{"east", third}, meshv1alpha1.UpgradeSucceeded, func(m *meshv1alpha1.MeshInstallation) error {
		rest := &m.Spec.Upgrade.Waves[1]
		rest.MaxFailures, rest.Approval = 1, meshv1alpha1.ApprovalNotRequired
		rest.ProgressDeadline = &metav1.Duration{Duration: time.Minute}
		return harness.SetValue(m, "70", "env", "PILOT_PUSH_THROTTLE")
	}, func(u *meshv1alpha1.MeshUpgrade) error {
		west, err := s.env.MeshMember(ctx, lost)
		if err != nil || isCut || west.Spec.Rollout == nil || west.Spec.Rollout.Upgrade != u.Name ||
			west.Spec.Rollout.Stage != meshv1alpha1.StageInstall {
			return err
		}
		return link(false)
	})
	if !slices.Equal(u.Status.Failed, []string{lost}) {
		t.Errorf("failed: %v, want %s alone", u.Status.Failed, lost)
	}
	s.step(t, "the member goes back when it is there again", func() error {
		if err := link(true); err != nil {
			return err
		}
		return harness.Await(ctx, lost+" to run "+former.Spec.DefaultRevision+" only", readyDeadline, func(ctx context.Context) (bool, string, error) {
			err := s.env.RequireRevision(ctx, lost, former.Spec.DefaultRevision)
			return err == nil, "", err
		})
	})
	again := s.upgradeUnderLoad(t, s.env.Members(), meshv1alpha1.UpgradeSucceeded, func(m *meshv1alpha1.MeshInstallation) error {
		m.Spec.Upgrade.Attempt++
		return nil
	}, nil)
	if again.Spec.To.Revision != u.Spec.To.Revision {
		t.Errorf("the next attempt goes to %s, want %s", again.Spec.To.Revision, u.Spec.To.Revision)
	}
	if len(again.Status.Failed) > 0 {
		t.Errorf("the next attempt failed for %v", again.Status.Failed)
	}
	s.requireUpgraded(t, again)
}
