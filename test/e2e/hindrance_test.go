//go:build e2e && upgrades

package e2e

import (
	"context"
	"errors"
	"strings"
	"testing"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
)

// budget forbids any disruption of the one echo.
const budget = `
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: none-may-go
  namespace: demo
spec:
  minAvailable: 1
  selector:
    matchLabels:
      app: echo
`

// hindrances get in the way of an upgrade and are taken away when the upgrade has noticed them.
type hindrances struct {
	*suite
	killed, blocked, asked bool
}

// upgradeValues changes a value of the control planes only, which is a canary like any other. On the way the operator is
// killed, a PodDisruptionBudget forbids the restart of a workload, and the second wave waits for a person.
func (s *suite) upgradeValues(t *testing.T) {
	ctx := t.Context()
	if err := s.env.Cluster("east").Apply(ctx, budget); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.env.Cluster("east").Delete(context.WithoutCancel(ctx), budget); err != nil {
			t.Error(err)
		}
	})
	h := &hindrances{suite: s}
	u := s.upgradeUnderLoad(t, s.env.Members(), meshv1alpha1.UpgradeSucceeded, func(m *meshv1alpha1.MeshInstallation) error {
		m.Spec.Upgrade.Waves[1].Approval = meshv1alpha1.ApprovalRequired
		return harness.SetValue(m, "30", "env", "PILOT_PUSH_THROTTLE")
	}, func(u *meshv1alpha1.MeshUpgrade) error { return h.watch(ctx, u) })
	if !h.killed || !h.blocked || !h.asked {
		t.Errorf("the operator was killed: %v, the budget blocked: %v, the second wave asked: %v; want all", h.killed, h.blocked, h.asked)
	}
	if want := harness.RevisionOf(u.Spec.To.Version) + "-v"; !strings.HasPrefix(u.Spec.To.Revision, want) {
		t.Errorf("the revision is %q, want %s…", u.Spec.To.Revision, want)
	}
	s.requireUpgraded(t, u)
}

// watch looks at each step of the upgrade.
func (h *hindrances) watch(ctx context.Context, u *meshv1alpha1.MeshUpgrade) error {
	if u.Status.Phase == meshv1alpha1.UpgradeWaitingForApproval {
		h.asked = true
		return h.env.Approve(ctx, u)
	}
	east, err := h.env.MeshMember(ctx, "east")
	if err != nil {
		return err
	}
	st := east.Status.Rollout
	if st == nil {
		return nil
	}
	switch {
	case st.Stage == meshv1alpha1.StageGateways && !h.killed:
		h.killed = true
		return h.env.KillOperator(ctx)
	case st.Stage == meshv1alpha1.StageWorkloads && st.State == meshv1alpha1.StageInconclusive && !h.blocked:
		if !strings.Contains(st.Message, "none-may-go") {
			return errors.New("the stage cannot go on, but not for the budget: " + st.Message)
		}
		h.blocked = true
		return h.env.Cluster("east").Delete(ctx, budget)
	}
	return nil
}
