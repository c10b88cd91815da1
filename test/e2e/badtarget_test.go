//go:build e2e && upgrades

package e2e

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
)

// upgradeValues changes a value of the control planes only, which is a canary like any other. Its second wave waits for a
// person.
func (s *suite) upgradeValues(t *testing.T) {
	asked := 0
	u := s.upgradeUnderLoad(t, meshv1alpha1.UpgradeSucceeded, func(m *meshv1alpha1.MeshInstallation) error {
		m.Spec.Upgrade.Waves[1].Approval = meshv1alpha1.ApprovalRequired
		return harness.SetValue(m, "30", "env", "PILOT_PUSH_THROTTLE")
	}, func(u *meshv1alpha1.MeshUpgrade) error {
		if u.Status.Phase != meshv1alpha1.UpgradeWaitingForApproval {
			return nil
		}
		asked++
		return s.env.Approve(t.Context(), u)
	})
	if asked == 0 {
		t.Error("the second wave did not wait for its approval")
	}
	if want := harness.RevisionOf(newVersion) + "-v"; !strings.HasPrefix(u.Spec.To.Revision, want) {
		t.Errorf("the revision is %q, want %s…", u.Spec.To.Revision, want)
	}
	s.requireUpgraded(t, u)
}

// value changes one value of the control planes.
func value(v any, path ...string) func(*meshv1alpha1.MeshInstallation) error {
	return func(m *meshv1alpha1.MeshInstallation) error { return harness.SetValue(m, v, path...) }
}

// badImage names an image that does not exist: there is no istiod to ask, and the first wave goes back.
func (s *suite) badImage(t *testing.T) {
	s.goesBack(t, "ControlPlaneReady", value("no-such-release", "global", "tag"), value("", "global", "tag"), nil)
}

// badProxy names an image that is no proxy: istiod is well, but what it injects does not stay up. The gateway is the
// first to be given it.
func (s *suite) badProxy(t *testing.T) {
	s.goesBack(t, "east", value("lab.local/echo:1", "global", "proxy", "image"), value("", "global", "proxy", "image"), nil)
}

// filter adds a cluster that Envoy rejects, for proxies of one revision. Validation cannot see it.
const filter = `
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata:
  name: rejected
  namespace: istio-system
  labels:
    istio.io/rev: %s
spec:
  configPatches:
  - applyTo: CLUSTER
    match:
      context: SIDECAR_OUTBOUND
    patch:
      operation: ADD
      value:
        name: rejected
        type: LOGICAL_DNS
        connect_timeout: 1s
`

// badFilter gives the new revision a configuration that its proxies reject.
func (s *suite) badFilter(t *testing.T) {
	applied := ""
	t.Cleanup(func() {
		if applied == "" {
			return
		}
		if err := s.env.Cluster("east").Delete(context.Background(), applied); err != nil {
			t.Error(err)
		}
	})
	s.goesBack(t, "ConfigAccepted", value("60", "env", "PILOT_PUSH_THROTTLE"), value("30", "env", "PILOT_PUSH_THROTTLE"),
		func(u *meshv1alpha1.MeshUpgrade) error {
			if applied != "" {
				return nil
			}
			applied = fmt.Sprintf(filter, u.Spec.To.Revision)
			return s.env.Cluster("east").Apply(t.Context(), applied)
		})
}

// goesBack wants a target to be refused in the first wave without a lost request, for the cause given, and not to be
// tried again.
func (s *suite) goesBack(t *testing.T, wantCause string, change, undo func(*meshv1alpha1.MeshInstallation) error,
	watch func(*meshv1alpha1.MeshUpgrade) error,
) {
	t.Helper()
	ctx := t.Context()
	former, err := s.env.MeshMember(ctx, "east")
	if err != nil {
		t.Fatal(err)
	}
	u := s.upgradeUnderLoad(t, meshv1alpha1.UpgradeRolledBack, change, watch)
	s.env.Logf("  went back: %s", u.Status.Message)
	if !strings.Contains(u.Status.Message, wantCause) {
		t.Errorf("the message is %q, want it to name %q", u.Status.Message, wantCause)
	}
	for _, m := range s.env.Members() {
		if err := s.env.RequireRevision(ctx, m, former.Spec.DefaultRevision); err != nil {
			t.Error(err)
		}
		member, err := s.env.MeshMember(ctx, m)
		if err != nil {
			t.Fatal(err)
		}
		if waveOf(m) == "rest" && (member.Spec.Rollout != nil || member.Status.Rollout != nil) {
			t.Errorf("member %q of the second wave was given a rollout: %+v", m, member.Spec.Rollout)
		}
	}
	s.requireNotTriedAgain(t)
	s.step(t, "take the bad target back", func() error {
		var undoErr error
		err := s.env.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) { undoErr = undo(m) })
		if err := cmp.Or(undoErr, err); err != nil {
			return err
		}
		return s.waitReady(ctx)
	})
}

// requireNotTriedAgain writes the same spec again, as a tool does, and wants no new upgrade.
func (s *suite) requireNotTriedAgain(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	before, err := s.env.Upgrades(ctx)
	if err != nil {
		t.Fatal(err)
	}
	err = s.env.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) {
		m.Annotations = map[string]string{"meshfleet-suite/applied": time.Now().Format(time.RFC3339)}
	})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second)
	after, err := s.env.Upgrades(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(after) != len(before) {
		t.Errorf("%d upgrades became %d when the same spec was applied again", len(before), len(after))
	}
}
