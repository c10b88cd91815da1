//go:build e2e && upgrades

package e2e

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
)

// memberDown cuts a member of the second wave off when the wave reaches it. Its peer waits, because its new istiod cannot read
// the member. One failure is allowed: when the member is there again it goes back by itself, and its peer goes on. The next
// attempt takes it along.
func (s *suite) memberDown(t *testing.T) {
	ctx := t.Context()
	const lost = "west"
	former, err := s.env.MeshMember(ctx, lost)
	if err != nil {
		t.Fatal(err)
	}
	s.keepWaves(t)
	cut := newCut(s.env, lost)
	t.Cleanup(func() {
		if err := cut.mend(); err != nil {
			t.Error(err)
		}
	})
	u := s.upgradeUnderLoad(t, []string{"east", third}, meshv1alpha1.UpgradeSucceeded, func(m *meshv1alpha1.MeshInstallation) error {
		rest := &m.Spec.Upgrade.Waves[1]
		rest.MaxFailures = 1
		// The peer needs half a minute to start without the member, and may not be able to tell for a minute after that.
		rest.ProgressDeadline = &metav1.Duration{Duration: 90 * time.Second}
		return harness.SetValue(m, "70", "env", "PILOT_PUSH_THROTTLE")
	}, func(u *meshv1alpha1.MeshUpgrade) error {
		west, err := s.env.MeshMember(ctx, lost)
		if err != nil || west.Spec.Rollout == nil || west.Spec.Rollout.Upgrade != u.Name || west.Spec.Rollout.Stage != meshv1alpha1.StageInstall {
			return err
		}
		return cut.untilFailed(ctx, u)
	})
	if !slices.Equal(u.Status.Failed, []string{lost}) {
		t.Errorf("failed: %v, want %s alone", u.Status.Failed, lost)
	}
	s.step(t, "the member goes back when it is there again", func() error {
		if err := cut.mend(); err != nil {
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

// cut is a member that is cut off the others for a while.
type cut struct {
	env    *harness.Env
	member string
	once   sync.Once
	done   chan error
}

func newCut(env *harness.Env, member string) *cut {
	return &cut{env: env, member: member, done: make(chan error, 1)}
}

// untilFailed cuts the member off, and joins it again when the upgrade has recorded that it failed.
func (c *cut) untilFailed(ctx context.Context, u *meshv1alpha1.MeshUpgrade) error {
	var err error
	c.once.Do(func() {
		if err = c.env.Link(ctx, c.member, false); err != nil {
			return
		}
		go func() {
			what := c.member + " to be recorded as failed"
			err := harness.Await(ctx, what, upgradeDeadline, func(ctx context.Context) (bool, string, error) {
				all, err := c.env.Upgrades(ctx)
				i := slices.IndexFunc(all, func(o meshv1alpha1.MeshUpgrade) bool { return o.Name == u.Name })
				return i >= 0 && slices.Contains(all[i].Status.Failed, c.member), "", err
			})
			c.done <- errors.Join(err, c.env.Link(context.WithoutCancel(ctx), c.member, true))
		}()
	})
	return err
}

// mend waits until the member is joined again.
func (c *cut) mend() error {
	cutNow := true
	c.once.Do(func() { cutNow = false })
	if !cutNow {
		return nil
	}
	err := <-c.done
	c.done <- err
	return err
}
