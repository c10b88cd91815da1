package envtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// plan asks what another version would do, restarts the operator over it, and lets it run by its hash. Until then
// nothing is written in any member.
func (s *suite) plan(t *testing.T) {
	start := time.Now()
	s.edit(t, func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.Version, inst.Spec.Upgrade.Mode = newer, meshv1alpha1.UpgradeModePlan
	})
	hash := s.awaitPlan(t)
	await(t, "the mesh says that it is planned", func(ctx context.Context) error {
		inst, err := s.installation(ctx)
		if err != nil {
			return err
		}
		return has(inst.Status.Conditions, meshv1alpha1.ConditionReady, "Unknown", meshv1alpha1.ReasonUpgradePlanned)
	})
	for _, name := range both {
		m, err := s.member(t.Context(), name)
		must(t, err)
		st := m.Status.Rollout
		if st.Changes.Added.Count == 0 || st.Changes.Changed.Count == 0 || st.Changes.Removed.Count == 0 || len(st.Changes.Added.Names) == 0 {
			t.Errorf("%s: changes %+v", name, st.Changes)
		}
		t.Logf("%s: %s; %d gates", name, st.Message, len(st.Gates))
	}
	s.operator.stop(t)
	s.operator = s.startOperator(t)
	wrong := "0123456789abcdef"
	s.lock(t, wrong)
	await(t, "the plan is refused, with its hash", func(ctx context.Context) error {
		inst, err := s.installation(ctx)
		if err != nil {
			return err
		}
		for _, c := range inst.Status.Conditions {
			if c.Type == meshv1alpha1.ConditionStalled && strings.Contains(c.Message, hash) && strings.Contains(c.Message, wrong) {
				return stalled(inst.Status.Conditions, meshv1alpha1.ReasonPlanRefused)
			}
		}
		return fmt.Errorf("conditions: %s", describe(inst.Status.Conditions))
	})
	if again := s.awaitPlan(t); again != hash {
		t.Errorf("the plan's hash was %s and is %s", hash, again)
	}
	s.unwritten(t, start)
	s.lock(t, hash)
}

func (s *suite) lock(t *testing.T, hash string) {
	t.Helper()
	s.edit(t, func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.Upgrade.Mode, inst.Spec.Upgrade.PlanHash = meshv1alpha1.UpgradeModeLocked, hash
	})
}

// awaitPlan waits for a plan of both members and returns its hash.
func (s *suite) awaitPlan(t *testing.T) string {
	t.Helper()
	hash := ""
	await(t, "the upgrade is planned", func(ctx context.Context) error {
		found := &meshv1alpha1.MeshUpgradeList{}
		if err := s.hub.admin.List(ctx, found, client.InNamespace(operatorNamespace)); err != nil {
			return err
		}
		if len(found.Items) != 1 {
			return fmt.Errorf("upgrades: %v", found.Items)
		}
		st := found.Items[0].Status
		if st.Phase != meshv1alpha1.UpgradePlanned || st.Plan == nil || st.Plan.Members != 2 || st.StartedAt != nil {
			return fmt.Errorf("the upgrade is %s: %s", st.Phase, st.Message)
		}
		hash = st.Plan.Hash
		return nil
	})
	return hash
}

// unwritten fails when the operator has written anything in a member since a moment. Reviews of its own permissions are
// questions.
func (s *suite) unwritten(t *testing.T, since time.Time) {
	t.Helper()
	for _, name := range both {
		asked := 0
		for _, one := range s.members[name].writes(t, since) {
			if strings.HasPrefix(one.ObjectRef.Resource, "selfsubject") {
				asked++
				continue
			}
			t.Errorf("%s: written while only planned: %s", name, one)
		}
		if asked == 0 {
			t.Errorf("%s: the audit log has no question about permissions, so it proves nothing", name)
		}
	}
}
