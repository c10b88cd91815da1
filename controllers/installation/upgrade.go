package installation

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/plan/rollout"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
	"github.com/meshfleet/meshfleet/internal/status"
)

// upgrade starts, drives or ends an upgrade. It returns the run that work orders follow, nil when there is none, and what
// to tell people. While it is held, none starts, none is superseded, and one to another version is held: the charts of what the spec
// asks for are not ready.
func (r *Reconciler) upgrade(
	ctx context.Context, inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember, isHeld bool,
) (*plan.Run, []status.Outcome, error) {
	history, err := r.upgrades(ctx, inst, members)
	if err != nil {
		return nil, nil, err
	}
	if run, names := plan.Unrecorded(members, history, r.watchedSince(), r.Now()); run != nil {
		text := fmt.Sprintf("%d MeshUpgrades do not exist any more (%s); %d members between two revisions are rolled back: %s",
			len(run.Missing), mesh.List(run.Missing, len(run.Missing)), len(names), mesh.List(names, len(names)))
		return run, []status.Outcome{{Result: phase.Waiting(meshv1alpha1.ReasonRollingBack, text, outcome.ShortWait)}}, nil
	}
	run, told, err := r.steer(ctx, inst, members, history, isHeld)
	if err != nil {
		return nil, nil, err
	}
	return run, told, r.noteApprovals(ctx, inst, history)
}

// steer starts, drives or ends an upgrade. The record of the one under way is the newest of the history, and is kept current.
func (r *Reconciler) steer(
	ctx context.Context, inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember, history []meshv1alpha1.MeshUpgrade, isHeld bool,
) (*plan.Run, []status.Outcome, error) {
	next := upgrade.Next(inst, members, history)
	if isHeld && next.Active != nil {
		next.IsSuperseded, next.IsTakenBack = false, false
		if u := next.Active; hasOtherVersion(u, inst) {
			run, told, err := r.wait(ctx, u, members, meshv1alpha1.ReasonChartsFetching, fmt.Sprintf(
				"the spec asks for Istio %s now, whose charts are not ready (see %s of the MeshInstallation): no member goes on until they are, or %s=%s is set",
				inst.Spec.Version, meshv1alpha1.ConditionChartsReady, meshv1alpha1.AnnotationAction, meshv1alpha1.UpgradeActionAbort))
			if run != nil {
				run.Wanted = next.Wanted
			}
			return run, told, err
		}
	}
	switch {
	case next.Reason == meshv1alpha1.ReasonChartsFetching, next.Start != nil && isHeld:
		return nil, []status.Outcome{{Result: phase.Waiting(meshv1alpha1.ReasonChartsFetching, fmt.Sprintf(
			"the change of the spec waits for the charts of Istio %s, see the condition %s", inst.Spec.Version, meshv1alpha1.ConditionChartsReady), 0)}}, nil
	case next.Problem != nil:
		return nil, []status.Outcome{{Result: phase.Stall(next.Reason, next.Problem)}}, nil
	case next.Outdated != nil:
		return nil, nil, r.dropPlan(ctx, inst, next.Outdated)
	case next.Start != nil:
		if names := plan.Unanswered(inst, members, r.Now()); len(names) > 0 {
			return nil, []status.Outcome{{Result: phase.Waiting(meshv1alpha1.ReasonRestoring, fmt.Sprintf(
				"no upgrade starts before it is known what every member runs; waiting for %d members: %s", len(names), mesh.List(names, len(names))),
				outcome.ShortWait)}}, nil
		}
		if err := r.startUpgrade(ctx, inst, next.Start); err != nil {
			return nil, nil, err
		}
		next.Active = next.Start
	case next.Active == nil:
		noteTarget(inst, next.Target)
		return nil, nil, nil
	}
	run, told, err := r.drive(ctx, inst, members, next.Active, next)
	if run != nil {
		run.Wanted = next.Wanted
	}
	return run, told, err
}

// hasOtherVersion reports whether an upgrade is to another version than the spec asks for now, and nothing else ends it.
func hasOtherVersion(u *meshv1alpha1.MeshUpgrade, inst *meshv1alpha1.MeshInstallation) bool {
	state := cmp.Or(inst.Spec.Upgrade.State, meshv1alpha1.UpgradeStateRun)
	return cmp.Or(u.Spec.Towards, u.Spec.To.Version) != inst.Spec.Version && u.Status.Cause == "" && !upgrade.IsAborted(u, state)
}

// noteTarget notes what the mesh runs. Members that differ after an upgrade that stopped may have left since, or be held. While only members
// serve that are held, the target may run in no member.
func noteTarget(inst *meshv1alpha1.MeshInstallation, to meshv1alpha1.RevisionTarget) {
	isRunning := slices.ContainsFunc(inst.Status.Revisions, func(r meshv1alpha1.RevisionMembers) bool { return r.Name == to.Revision })
	if isRunning || len(inst.Status.Revisions) == 0 {
		inst.Status.Hash = to.Hash
	}
	if isRunning {
		inst.Status.Revision, inst.Status.EffectiveVersion = to.Revision, to.Version
	}
}

// drive takes an upgrade one step further.
func (r *Reconciler) drive(
	ctx context.Context, inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember,
	u *meshv1alpha1.MeshUpgrade, next upgrade.Decision,
) (*plan.Run, []status.Outcome, error) {
	if lost := plan.Lost(u, inst, members, r.Now()); len(lost) > 0 {
		return r.wait(ctx, u, members, meshv1alpha1.ReasonRestoring, "MeshMembers were lost and are being made again: "+mesh.List(lost, len(lost)))
	}
	state := cmp.Or(inst.Spec.Upgrade.State, meshv1alpha1.UpgradeStateRun)
	// One that shall not begin needs nothing before it ends.
	if u.Status.StartedAt == nil && !next.IsSuperseded && !upgrade.IsAborted(u, state) {
		if run, told, err := r.prepare(ctx, inst, members, u); run != nil || err != nil {
			return run, told, err
		}
		if waiting := unprepared(members, &u.Spec.To); len(waiting) > 0 {
			return r.wait(ctx, u, members, meshv1alpha1.ReasonUpgrading, "granting what istiod "+u.Spec.To.Version+" reads in "+mesh.List(waiting, len(waiting)))
		}
	}
	approvals, err := r.records().approvals(ctx, u)
	if err != nil {
		return nil, nil, err
	}
	decision := rollout.Next(rollout.Input{
		Upgrade: u, Members: members, Approvals: approvals, Now: r.Now(), WatchedSince: r.watchedSince(),
		IsSuperseded: next.IsSuperseded, IsTakenBack: next.IsTakenBack,
		State: state, Holds: upgrade.HoldsOf(inst), UnreachablePeers: inst.Spec.Upgrade.UnreachablePeers,
	})
	for _, asked := range decision.Approvals {
		if err := r.askApproval(ctx, u, asked); err != nil {
			return nil, nil, err
		}
	}
	status.SetUpgrade(&decision.Status, u.Generation, status.Upgrade(&decision.Status, decision.Hold.Reason, decision.Hold.Cure), r.Now())
	if err := r.writeUpgrade(ctx, u, decision.Status); apierrors.IsConflict(err) {
		// This was decided from an older record than there is, and may have been decided before. Work orders stay as they are.
		return &plan.Run{Upgrade: u, Orders: rollout.StandingOrders(u, members), Now: r.Now()}, []status.Outcome{underWay(u, outcome.ShortWait)}, nil
	} else if err != nil {
		return nil, nil, err
	}
	inst.Status.Upgrade = u.Name
	if hasArrived(upgrade.Running(upgrade.HoldsOf(inst).Without(members)), u) {
		inst.Status.Revision, inst.Status.EffectiveVersion, inst.Status.Hash = u.Spec.To.Revision, u.Spec.To.Version, u.Spec.To.Hash
	}
	if u.Status.Phase.IsFinished() {
		// The next pass, which the record's status causes, sees a mesh without a run.
		return nil, []status.Outcome{{Result: phase.Waiting(meshv1alpha1.ReasonUpgrading, u.Status.Message, outcome.ShortWait)}}, nil
	}
	return &plan.Run{Upgrade: u, Orders: decision.Orders, Now: r.Now()}, []status.Outcome{underWay(u, decision.After)}, nil
}

// wait leaves the work orders of an upgrade as they are until something else is done.
func (r *Reconciler) wait(
	ctx context.Context, u *meshv1alpha1.MeshUpgrade, members []meshv1alpha1.MeshMember, reason, message string,
) (*plan.Run, []status.Outcome, error) {
	// Whoever watches a record that has no conditions takes it for one that is done.
	st := u.Status.DeepCopy()
	status.SetUpgrade(st, u.Generation, phase.Waiting(reason, message, 0), r.Now())
	if err := r.writeUpgrade(ctx, u, *st); err != nil && !apierrors.IsConflict(err) {
		return nil, nil, err
	}
	run := &plan.Run{Upgrade: u, Orders: rollout.StandingOrders(u, members), Now: r.Now()}
	return run, []status.Outcome{{Result: phase.Waiting(reason, "MeshUpgrade "+u.Name+": "+message, outcome.ShortWait)}}, nil
}

// hasArrived says whether the mesh runs the target of an upgrade that is over: it has succeeded, or another target ended it
// when every member had moved. Running is what the members run that are not held.
func hasArrived(running []meshv1alpha1.RevisionMembers, u *meshv1alpha1.MeshUpgrade) bool {
	return u.Status.Phase == meshv1alpha1.UpgradeSucceeded ||
		u.Status.Phase == meshv1alpha1.UpgradeStopped && len(running) == 1 && running[0].Name == u.Spec.To.Revision
}

// underWay tells how far an upgrade is, and when to look again.
func underWay(u *meshv1alpha1.MeshUpgrade, after time.Duration) status.Outcome {
	reason := map[meshv1alpha1.UpgradePhase]string{
		meshv1alpha1.UpgradePaused:             meshv1alpha1.ReasonUpgradePaused,
		meshv1alpha1.UpgradeWaitingForApproval: meshv1alpha1.ReasonWaitingForApproval,
		meshv1alpha1.UpgradeWaitingForWindow:   meshv1alpha1.ReasonWaitingForWindow,
		meshv1alpha1.UpgradeRollingBack:        meshv1alpha1.ReasonRollingBack,
		meshv1alpha1.UpgradeStopping:           meshv1alpha1.ReasonUpgradeStopping,
	}[u.Status.Phase]
	return status.Outcome{Result: phase.Waiting(cmp.Or(reason, meshv1alpha1.ReasonUpgrading), "MeshUpgrade "+u.Name+": "+u.Status.Message, after)}
}

// unprepared lists the members that can be reached and have not yet granted what istiod of a target reads in its peers.
func unprepared(members []meshv1alpha1.MeshMember, to *meshv1alpha1.RevisionTarget) []string {
	var out []string
	for i := range members {
		m := &members[i]
		if meta.IsStatusConditionTrue(m.Status.Conditions, meshv1alpha1.ConditionReachable) && m.Spec.Removal != meshv1alpha1.RemovalNow &&
			(lacksGrants(&m.Spec, to) || m.Status.ObservedGeneration != m.Generation) {
			out = append(out, m.Spec.Cluster)
		}
	}
	return out
}

// lacksGrants says whether a member does not grant yet what istiod of a target reads.
func lacksGrants(spec *meshv1alpha1.MeshMemberSpec, to *meshv1alpha1.RevisionTarget) bool {
	switch order := istioversion.Compare(spec.ReaderVersion, to.Version); {
	case order < 0:
		return true
	case order == 0:
		return !to.Charts.IsZero() && spec.ReaderCharts != to.Charts
	}
	return false
}

// upgrades are the records of an installation, oldest first, the one under way last. Those beyond the limit are deleted.
func (r *Reconciler) upgrades(
	ctx context.Context, inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember,
) ([]meshv1alpha1.MeshUpgrade, error) {
	found, err := r.records().list(ctx, inst)
	if err != nil {
		return nil, err
	}
	all := plan.RestoredRecords(found, inst, members, r.Now())
	if err := writeRestored(ctx, r.writeUpgrade, found, all); err != nil {
		return nil, err
	}
	var kept []meshv1alpha1.MeshUpgrade
	for i := range all {
		if err := r.records().hold(ctx, &all[i], plan.IsHeld(&all[i])); err != nil {
			return nil, err
		}
		if all[i].DeletionTimestamp.IsZero() || plan.IsHeld(&all[i]) {
			kept = append(kept, all[i])
		}
	}
	limit := int(cmp.Or(inst.Spec.Upgrade.HistoryLimit, 5))
	for len(kept) > limit && kept[0].Status.Phase.IsFinished() {
		if err := r.Client.Delete(ctx, &kept[0]); client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("delete MeshUpgrade %q: %w", kept[0].Name, err)
		}
		kept = kept[1:]
	}
	return kept, nil
}

func (r *Reconciler) startUpgrade(ctx context.Context, inst *meshv1alpha1.MeshInstallation, u *meshv1alpha1.MeshUpgrade) error {
	u.Finalizers = []string{meshv1alpha1.Finalizer}
	if err := r.Client.Create(ctx, u); err != nil {
		return fmt.Errorf("create MeshUpgrade %q: %w", u.Name, err)
	}
	reason, text := "UpgradeStarted", "Started MeshUpgrade %s from %s to %s"
	if mode := inst.Spec.Upgrade.Mode; mode == meshv1alpha1.UpgradeModePlan || mode == meshv1alpha1.UpgradeModeLocked {
		reason, text = "UpgradePlanned", "Planned MeshUpgrade %s from %s to %s"
	}
	if u.Spec.Towards != "" {
		text += ", a step to " + u.Spec.Towards
	}
	r.Events.Eventf(inst, u, "Normal", reason, "Upgrade", text, u.Name, u.Spec.From.Revision, u.Spec.To.Revision)
	return nil
}

// writeUpgrade writes a status that was decided from the record as it is, or nothing: a cache that lags behind must not
// make the operator record twice what a person did once. After an error the record is as before.
func (r *Reconciler) writeUpgrade(ctx context.Context, u *meshv1alpha1.MeshUpgrade, st meshv1alpha1.MeshUpgradeStatus) error {
	if status.Bound(&st); equality.Semantic.DeepEqual(u.Status, st) {
		return nil
	}
	before := u.DeepCopy()
	u.Status = st
	if err := r.Client.Status().Patch(ctx, u, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		before.DeepCopyInto(u)
		return fmt.Errorf("write the status of MeshUpgrade %q: %w", u.Name, err)
	}
	status.RecordUpgrade(r.Events, before, u)
	log.FromContext(ctx).V(1).Info("Decided the next step of an upgrade", "upgrade", u.Name, "phase", u.Status.Phase, "reason", u.Status.Message)
	return nil
}

// writeRestored writes the status of the records that were restored without one.
func writeRestored(
	ctx context.Context, write func(context.Context, *meshv1alpha1.MeshUpgrade, meshv1alpha1.MeshUpgradeStatus) error,
	found, restored []meshv1alpha1.MeshUpgrade,
) error {
	for i := range restored {
		u := &restored[i]
		j := slices.IndexFunc(found, func(o meshv1alpha1.MeshUpgrade) bool { return o.Name == u.Name })
		st := u.Status
		u.Status = *found[j].Status.DeepCopy()
		if err := write(ctx, u, st); err != nil {
			return err
		}
	}
	return nil
}
