package envtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// change asks for another version while one serves: it is planned, and then starts as a canary in one member and takes nothing from what
// serves. Nobody plays an istiod that can be asked here, so no gate passes; the run is steered by annotation, tried again, and aborted by the
// spec.
func (s *suite) change(t *testing.T) {
	s.awaitCalm(t)
	s.plan(t)
	await(t, "the canary is ordered to install the new revision", func(ctx context.Context) error {
		m, err := s.member(ctx, "east")
		if err != nil {
			return err
		}
		if m.Spec.Rollout == nil || m.Spec.Rollout.Stage != meshv1alpha1.StageInstall || len(m.Spec.Revisions) != 2 {
			return fmt.Errorf("work order: rollout %v, %d revisions", m.Spec.Rollout, len(m.Spec.Revisions))
		}
		if m.Spec.DefaultRevision != revision || m.Spec.GatewayRevision != revision {
			return fmt.Errorf("default revision %s, gateway %s, want %s", m.Spec.DefaultRevision, m.Spec.GatewayRevision, revision)
		}
		return nil
	})
	if m, err := s.member(t.Context(), "west"); err != nil || m.Spec.Rollout == nil || m.Spec.Rollout.Stage != meshv1alpha1.StagePreflight || len(m.Spec.Revisions) != 1 {
		t.Errorf("west is more than looked at before its wave: %v, %v", m.Spec.Rollout, err)
	}
	s.steer(t)
	s.deleteUnderWay(t)
	s.edit(t, func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Upgrade.State = meshv1alpha1.UpgradeStateAbort })
	await(t, "the second run is back", func(ctx context.Context) error {
		all, err := s.upgrades(ctx)
		if err != nil {
			return err
		}
		// Somebody has deleted its record, which stayed until then.
		if len(all) != 1 {
			return fmt.Errorf("upgrades: %v", all)
		}
		return nil
	})
	s.awaitAborted(t, "spec.upgrade.state is Abort")
	s.edit(t, func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.Version, inst.Spec.Upgrade.State = version, meshv1alpha1.UpgradeStateRun
		inst.Spec.Upgrade.Mode, inst.Spec.Upgrade.PlanHash = meshv1alpha1.UpgradeModeRun, ""
	})
	s.awaitReady(t, both...)
	await(t, "the new revision is gone from the canary", func(ctx context.Context) error {
		m, err := s.member(ctx, "east")
		if err != nil {
			return err
		}
		if m.Spec.Rollout != nil || len(m.Spec.Revisions) != 1 || m.Spec.Revisions[0].Name != revision {
			return fmt.Errorf("work order: rollout %v, revisions %v", m.Spec.Rollout, m.Spec.Revisions)
		}
		return nil
	})
}

// deleteUnderWay deletes the upgrade under way: that is refused, and without admission it goes on as before.
func (s *suite) deleteUnderWay(t *testing.T) {
	all, err := s.upgrades(t.Context())
	must(t, err)
	if len(all) != 2 {
		t.Fatalf("upgrades: %v", all)
	}
	second := &all[1]
	await(t, "the second run has begun", func(ctx context.Context) error {
		err := s.hub.admin.Get(ctx, client.ObjectKeyFromObject(second), second)
		if err == nil && second.Status.StartedAt == nil {
			err = errors.New("it has not")
		}
		return err
	})
	err = s.hub.admin.Delete(t.Context(), second.DeepCopy())
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), meshv1alpha1.AnnotationAction+"=Abort") {
		t.Errorf("deletion: want a refusal with the cure, got %v", err)
	}
	s.operator.stop(t)
	must(t, s.hub.admin.Delete(t.Context(), second.DeepCopy()))
	s.operator = s.startOperator(t)
	s.awaitCalm(t)
	must(t, s.hub.admin.Get(t.Context(), client.ObjectKeyFromObject(second), second))
	if second.DeletionTimestamp.IsZero() || second.Status.Phase.IsFinished() {
		t.Errorf("the record was deleted at %v, phase %s", second.DeletionTimestamp, second.Status.Phase)
	}
	if m, err := s.member(t.Context(), "east"); err != nil || m.Spec.Rollout == nil || m.Spec.Rollout.Upgrade != second.Name {
		t.Errorf("the work order of the canary has changed: %v, %v", m.Spec.Rollout, err)
	}
}
