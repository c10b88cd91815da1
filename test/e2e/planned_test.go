//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
)

const (
	// planDeadline is far above what it takes to look at three members.
	planDeadline = 2 * time.Minute
	// workloadsOfMember are the workloads with proxies that the harness deploys into each member.
	workloadsOfMember = 3
)

// planVersion asks what the way to the new release would do, sees that nothing is touched by that, and that another plan
// than this one is refused. It returns the planned upgrade. The spec quotes a wrong plan when it returns.
func (s *suite) planVersion(t *testing.T) *meshv1alpha1.MeshUpgrade {
	t.Helper()
	ctx := t.Context()
	var u *meshv1alpha1.MeshUpgrade
	from := time.Now()
	s.step(t, "plan the way to "+newVersion, func() (err error) {
		before, err := s.env.Upgrades(ctx)
		if err != nil {
			return err
		}
		if err := s.env.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) {
			m.Spec.Version, m.Spec.Upgrade.Mode = newVersion, meshv1alpha1.UpgradeModePlan
		}); err != nil {
			return err
		}
		u, err = s.env.AwaitUpgrade(ctx, before, planDeadline, []meshv1alpha1.UpgradePhase{meshv1alpha1.UpgradePlanned},
			func(*meshv1alpha1.MeshUpgrade, string) error { return nil })
		return err
	})
	p := u.Status.Plan
	s.env.Logf("  plan %s: %d members, %d objects added, %d changed, %d removed, %d workloads with %d pods restarted, %d of them fragile",
		p.Hash, p.Members, p.Added, p.Changed, p.Removed, p.Restarts, p.Pods, p.Fragile)
	members := len(s.env.Members())
	if want := int32(members * workloadsOfMember); int(p.Members) != members || p.Restarts != want || p.Pods != want || p.Added == 0 || p.Removed == 0 {
		t.Errorf("the plan is %+v, want %d members and %d workloads with a pod each", p, members, want)
	}
	s.step(t, "another plan is refused", func() error {
		if err := s.env.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) {
			m.Spec.Upgrade.Mode, m.Spec.Upgrade.PlanHash = meshv1alpha1.UpgradeModeLocked, "another"
		}); err != nil {
			return err
		}
		return harness.Await(ctx, "the plan to be refused", planDeadline, func(ctx context.Context) (bool, string, error) {
			mesh, err := s.env.Installation(ctx)
			if err != nil {
				return false, "", err
			}
			c := meta.FindStatusCondition(mesh.Status.Conditions, meshv1alpha1.ConditionStalled)
			return c != nil && c.Reason == meshv1alpha1.ReasonPlanRefused, fmt.Sprint(c), nil
		})
	})
	s.requireUntouched(t, from)
	return u
}

// requireUntouched wants the operator not to have written anything in any member since a time.
func (s *suite) requireUntouched(t *testing.T, since time.Time) {
	t.Helper()
	time.Sleep(flushDelay)
	for _, member := range s.env.Members() {
		identity, err := s.env.Identity(t.Context(), member)
		if err != nil {
			t.Fatal(err)
		}
		writes, total, err := s.env.Writes(member, identity, since, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if total == 0 {
			t.Errorf("member %s: the audit log holds nothing since then, so it proves nothing", member)
		}
		for _, w := range writes {
			if !w.IsDryRun() {
				t.Errorf("member %s: the operator wrote: %s", member, w)
			}
		}
	}
}
