//go:build e2e && upgrades

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
)

// memberDown cuts a member of the second wave off when the wave reaches it, for longer than its progressDeadline. It has not
// failed by that: nothing goes back, and when the member is there again it goes on where it was, and its peer with it.
func (s *suite) memberDown(t *testing.T) {
	ctx := t.Context()
	const lost = "west"
	s.keepWaves(t)
	cut := newCut(s.env, lost)
	t.Cleanup(func() {
		if err := cut.mend(); err != nil {
			t.Error(err)
		}
	})
	u := s.upgradeUnderLoad(t, []string{"east", third}, meshv1alpha1.UpgradeSucceeded, func(m *meshv1alpha1.MeshInstallation) error {
		rest := &m.Spec.Upgrade.Waves[1]
		// The peer needs half a minute to start without the member.
		rest.ProgressDeadline = &metav1.Duration{Duration: 60 * time.Second}
		return harness.SetValue(m, "70", "env", "PILOT_PUSH_THROTTLE")
	}, func(u *meshv1alpha1.MeshUpgrade) error {
		if u.Status.Phase == meshv1alpha1.UpgradeRollingBack {
			return fmt.Errorf("members go back: %s", u.Status.Message)
		}
		west, err := s.env.MeshMember(ctx, lost)
		if err != nil || west.Spec.Rollout == nil || west.Spec.Rollout.Upgrade != u.Name || west.Spec.Rollout.Stage != meshv1alpha1.StageInstall {
			return err
		}
		return cut.untilPaused(ctx, u)
	})
	s.step(t, "the link is up again", cut.mend)
	if len(u.Status.Failed) > 0 {
		t.Errorf("failed: %v, want none", u.Status.Failed)
	}
	s.requireUpgraded(t, u)
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

// untilPaused cuts the member off, and joins it again when the upgrade is paused and the wave's deadline is long over.
func (c *cut) untilPaused(ctx context.Context, u *meshv1alpha1.MeshUpgrade) error {
	var err error
	c.once.Do(func() {
		if err = c.env.Link(ctx, c.member, false); err != nil {
			return
		}
		go func() {
			what := "the upgrade to be paused long after the deadline of " + c.member
			err := harness.Await(ctx, what, upgradeDeadline, func(ctx context.Context) (bool, string, error) {
				m, err := c.env.MeshMember(ctx, c.member)
				if err != nil {
					return false, "", err
				}
				all, err := c.env.Upgrades(ctx)
				i := slices.IndexFunc(all, func(o meshv1alpha1.MeshUpgrade) bool { return o.Name == u.Name })
				reachable := meta.FindStatusCondition(m.Status.Conditions, meshv1alpha1.ConditionReachable)
				if err != nil || i < 0 || reachable == nil || reachable.Status == metav1.ConditionTrue {
					return false, c.member + " is reached", err
				}
				isLong := time.Since(reachable.LastTransitionTime.Time) > u.Spec.Waves[1].ProgressDeadline.Duration+15*time.Second
				return isLong && all[i].Status.Phase == meshv1alpha1.UpgradePaused, string(all[i].Status.Phase) + ": " + all[i].Status.Message, nil
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
