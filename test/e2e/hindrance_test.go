//go:build e2e && upgrades

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

// windowAhead is how far ahead the second wave's maintenance window opens: the first wave has been through by then.
const windowAhead = 4 * time.Minute

// hindrances get in the way of an upgrade and are taken away when the upgrade has noticed them.
type hindrances struct {
	*suite
	killed, foreseen, blocked, asked, waited bool
}

// upgradeValues changes a value of the control planes only, which is a canary like any other. On the way the operator is
// killed, a PodDisruptionBudget forbids the restart of a workload, and the second wave waits for a person, and then for
// its maintenance window.
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
	s.keepWaves(t)
	h := &hindrances{suite: s}
	opens := time.Now().UTC().Truncate(time.Minute).Add(windowAhead)
	u := s.upgradeUnderLoad(t, s.env.Members(), meshv1alpha1.UpgradeSucceeded, func(m *meshv1alpha1.MeshInstallation) error {
		rest := &m.Spec.Upgrade.Waves[1]
		rest.Approval = meshv1alpha1.ApprovalRequired
		rest.Window = &meshv1alpha1.MaintenanceWindow{
			Schedule: fmt.Sprintf("%d %d * * *", opens.Minute(), opens.Hour()), Duration: metav1.Duration{Duration: time.Hour},
		}
		return harness.SetValue(m, "30", "env", "PILOT_PUSH_THROTTLE")
	}, func(u *meshv1alpha1.MeshUpgrade) error { return h.watch(ctx, u) })
	if !h.killed || !h.foreseen || !h.blocked || !h.asked || !h.waited {
		t.Errorf("the operator was killed: %v, the budget was foreseen: %v and blocked: %v, the second wave asked: %v and waited for its window: %v; want all",
			h.killed, h.foreseen, h.blocked, h.asked, h.waited)
	}
	if started := u.Status.Waves[1].StartedAt; started == nil || started.Time.Before(opens) {
		t.Errorf("the second wave started at %s, its window opened at %s", started, opens)
	}
	if want := harness.RevisionOf(u.Spec.To.Version) + "-v"; !strings.HasPrefix(u.Spec.To.Revision, want) {
		t.Errorf("the revision is %q, want %s…", u.Spec.To.Revision, want)
	}
	s.requireUpgraded(t, u)
}

// watch looks at each step of the upgrade.
func (h *hindrances) watch(ctx context.Context, u *meshv1alpha1.MeshUpgrade) error {
	switch u.Status.Phase {
	case meshv1alpha1.UpgradeWaitingForApproval:
		h.asked = true
		return h.env.Approve(ctx, u)
	case meshv1alpha1.UpgradeWaitingForWindow:
		h.waited = u.Status.Waves[1].OpensAt != nil
	}
	east, err := h.env.MeshMember(ctx, "east")
	if err != nil {
		return err
	}
	st := east.Status.Rollout
	if st == nil {
		return nil
	}
	h.foreseen = h.foreseen || slices.ContainsFunc(st.Forecast.Budgets.Names, func(name string) bool { return strings.Contains(name, "none-may-go") })
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
