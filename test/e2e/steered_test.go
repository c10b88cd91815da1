//go:build e2e && upgrades

package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// pausedFor is how long an upgrade must stand still once it is paused.
const pausedFor = 8 * time.Second

// steered pauses an upgrade, lets it go on and aborts it while workloads move, all by an annotation on its record, and then
// lets the same target be tried again. The spec says Run all the while, as with a tool that writes it again and again.
func (s *suite) steered(t *testing.T) {
	ctx := t.Context()
	hand := &hand{suite: s}
	u := s.upgradeUnderLoad(t, s.env.Members(), meshv1alpha1.UpgradeRolledBack, value("36", "env", "PILOT_PUSH_THROTTLE"),
		func(u *meshv1alpha1.MeshUpgrade) error { return hand.watch(ctx, u) })
	if u.Status.Cause != meshv1alpha1.CauseAborted {
		t.Errorf("the upgrade went back because it was %s, want %s", u.Status.Cause, meshv1alpha1.CauseAborted)
	}
	s.requireDeeds(t, u.Name, meshv1alpha1.ActionPause, meshv1alpha1.ActionResume, meshv1alpha1.ActionAbort)
	again := s.upgradeUnderLoad(t, s.env.Members(), meshv1alpha1.UpgradeSucceeded, func(*meshv1alpha1.MeshInstallation) error {
		return s.order(ctx, u, meshv1alpha1.UpgradeActionRetry)
	}, nil)
	if again.Spec.To.Revision != u.Spec.To.Revision {
		t.Errorf("the second try goes to %s, want %s", again.Spec.To.Revision, u.Spec.To.Revision)
	}
	s.requireDeeds(t, again.Name, meshv1alpha1.ActionRetry)
	s.requireUpgraded(t, again)
}

// hand steers an upgrade while it is watched.
type hand struct {
	*suite
	paused, aborted bool
}

func (h *hand) watch(ctx context.Context, u *meshv1alpha1.MeshUpgrade) error {
	east, err := h.env.MeshMember(ctx, "east")
	if err != nil || east.Status.Rollout == nil || east.Status.Rollout.Upgrade != u.Name {
		return err
	}
	switch stage := east.Status.Rollout.Stage; {
	case stage == meshv1alpha1.StageInstall && !h.paused:
		h.paused = true
		return h.pause(ctx, u)
	case stage == meshv1alpha1.StageWorkloads && !h.aborted:
		h.aborted = true
		return h.order(ctx, u, meshv1alpha1.UpgradeActionAbort)
	}
	return nil
}

// pause wants nothing to be ordered while the upgrade is paused.
func (h *hand) pause(ctx context.Context, u *meshv1alpha1.MeshUpgrade) error {
	if err := h.order(ctx, u, meshv1alpha1.UpgradeActionPause); err != nil {
		return err
	}
	time.Sleep(pausedFor)
	all, err := h.env.Upgrades(ctx)
	if err != nil {
		return err
	}
	if last := &all[len(all)-1]; last.Status.Phase != meshv1alpha1.UpgradePaused {
		return fmt.Errorf("the upgrade is %s %s after it was paused", last.Status.Phase, pausedFor)
	}
	east, err := h.env.MeshMember(ctx, "east")
	if err != nil {
		return err
	}
	if stage := east.Spec.Rollout.Stage; stage != meshv1alpha1.StageInstall {
		return fmt.Errorf("east was ordered to %s while the upgrade was paused", stage)
	}
	return h.order(ctx, u, "")
}

// order writes the annotation by which people steer an upgrade. Empty takes it away.
func (s *suite) order(ctx context.Context, u *meshv1alpha1.MeshUpgrade, word meshv1alpha1.UpgradeAction) error {
	ordered := u.DeepCopy()
	if ordered.Annotations == nil {
		ordered.Annotations = map[string]string{}
	}
	before := ordered.DeepCopy()
	// What it was is not known here: a patch from the opposite writes it in any case.
	before.Annotations[meshv1alpha1.AnnotationAction] = "something else"
	ordered.Annotations[meshv1alpha1.AnnotationAction] = string(word)
	if word == "" {
		delete(ordered.Annotations, meshv1alpha1.AnnotationAction)
	}
	return s.env.Hub.Client.Patch(ctx, ordered, client.MergeFrom(before))
}

// requireDeeds wants the record of an upgrade to tell what was ordered by annotation, in this order and nothing else.
func (s *suite) requireDeeds(t *testing.T, name string, want ...meshv1alpha1.InterventionAction) {
	t.Helper()
	all, err := s.env.Upgrades(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if all[i].Name != name {
			continue
		}
		var got []meshv1alpha1.InterventionAction
		for _, v := range all[i].Status.Interventions {
			got = append(got, v.Action)
		}
		if !slices.Equal(got, want) {
			t.Errorf("interventions of %s: %v, want %v", name, got, want)
		}
		return
	}
	t.Errorf("there is no record of %s", name)
}
