package installation

import (
	"cmp"
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/plan/rollout"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
	"github.com/meshfleet/meshfleet/internal/status"
)

// prepare plans an upgrade that has not begun, if the mode asks for a plan. Without a run it may begin.
func (r *Reconciler) prepare(
	ctx context.Context, inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember, u *meshv1alpha1.MeshUpgrade,
) (*plan.Run, []status.Outcome, error) {
	mode := cmp.Or(inst.Spec.Upgrade.Mode, meshv1alpha1.UpgradeModeRun)
	if mode == meshv1alpha1.UpgradeModeRun {
		return nil, nil, nil
	}
	p := rollout.Prepare(rollout.Input{Upgrade: u, Members: members, Holds: upgrade.HoldsOf(inst), Now: r.Now()}, inst.Spec.Upgrade.PlanHash)
	if !p.MayBegin {
		// Of one that may begin, the next step says how it stands: written here too, the two would replace each other in every pass.
		status.SetUpgrade(&p.Status, u.Generation, status.Upgrade(&p.Status, p.Hold.Reason, p.Hold.Cure), r.Now())
	}
	if err := r.writeUpgrade(ctx, u, p.Status); apierrors.IsConflict(err) {
		run := &plan.Run{Upgrade: u, Orders: rollout.StandingOrders(u, members), Now: r.Now(), IsPlanOnly: true}
		return run, []status.Outcome{{Result: phase.Waiting(meshv1alpha1.ReasonUpgradePlanned, "MeshUpgrade "+u.Name+": "+u.Status.Message, outcome.ShortWait)}}, nil
	} else if err != nil {
		return nil, nil, err
	}
	inst.Status.Upgrade = u.Name
	if mode == meshv1alpha1.UpgradeModeLocked && p.MayBegin {
		return nil, nil, nil
	}
	run := &plan.Run{Upgrade: u, Orders: p.Orders, Now: r.Now(), IsPlanOnly: true}
	result := phase.Waiting(meshv1alpha1.ReasonUpgradePlanned, "MeshUpgrade "+u.Name+": "+u.Status.Message, 0)
	if p.IsRefused {
		result = phase.Stall(meshv1alpha1.ReasonPlanRefused, fmt.Errorf(
			"MeshUpgrade %s does not begin: the plan has the hash %s, spec.upgrade.planHash quotes %s; read the plan and quote its hash",
			u.Name, u.Status.Plan.Hash, inst.Spec.Upgrade.PlanHash))
	}
	return run, []status.Outcome{{Result: result}}, nil
}

// dropPlan deletes a plan that never ran. What takes its place is planned in the next pass, which the deletion causes.
func (r *Reconciler) dropPlan(ctx context.Context, inst *meshv1alpha1.MeshInstallation, u *meshv1alpha1.MeshUpgrade) error {
	uid := u.UID
	if err := r.Client.Delete(ctx, u, client.Preconditions{UID: &uid}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete MeshUpgrade %q: %w", u.Name, err)
	}
	if inst.Status.Upgrade == u.Name {
		inst.Status.Upgrade = ""
	}
	return nil
}
