// Package upgrade decides which upgrade of a mesh there is to be: whether the spec asks for another target, by which steps the mesh gets
// there, and what former upgrades say of it.
package upgrade

import (
	"cmp"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// Decision says which upgrade there is to be now. At most one of Active, Outdated, Start and Problem is set. With none of them the
// mesh runs what its spec asks for.
type Decision struct {
	// Target is what the spec asks for.
	Target meshv1alpha1.RevisionTarget
	// Active is the record of the upgrade under way. IsSuperseded says that the spec asks for something else than that,
	// IsTakenBack that this is what the members came from.
	Active                    *meshv1alpha1.MeshUpgrade
	IsSuperseded, IsTakenBack bool
	// Outdated is the record of a plan that never ran and that the spec, or the mesh, has left behind. It is deleted.
	Outdated *meshv1alpha1.MeshUpgrade
	// Start is the record to make, with which an upgrade begins.
	Start *meshv1alpha1.MeshUpgrade
	// Wanted is what the spec asks for, by member: merged once, for all that decide in a pass.
	Wanted Wanted
	// Problem is why nothing starts although the spec asks for something else than what runs, Reason the same in a word.
	Problem error
	Reason  string
}

// Next decides which upgrade there is to be from the spec, the members and the records, oldest first.
func Next(inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember, history []meshv1alpha1.MeshUpgrade) Decision {
	return NextIn(istioversion.Packaged(), inst, members, history)
}

// NextIn is Next with another table of releases than the one that the operator has.
func NextIn(
	table istioversion.Table, inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember, history []meshv1alpha1.MeshUpgrade,
) Decision {
	wanted, err := wantedBy(inst)
	if err != nil {
		return Decision{Reason: meshv1alpha1.ReasonInvalidValues, Problem: err}
	}
	d := next(table, inst, wanted, members, history)
	d.Wanted = wanted
	return d
}

// next is NextIn with what the spec wants of each member.
func next(
	table istioversion.Table, inst *meshv1alpha1.MeshInstallation, wanted Wanted, members []meshv1alpha1.MeshMember, history []meshv1alpha1.MeshUpgrade,
) Decision {
	to, changed, err := target(inst, wanted, members)
	if err != nil {
		return Decision{Reason: meshv1alpha1.ReasonInvalidValues, Problem: err}
	}
	_, hasCharts := ChartsOf(inst)
	if release, isKnown := istioversion.Of(inst.Spec.Version); isKnown && hasCharts {
		table = table.With(release)
	}
	c, holds := Decision{Target: to}, HoldsOf(inst)
	if n := len(history); n > 0 && !history[n-1].Status.Phase.IsFinished() {
		if isOutdated(table, inst, wanted, members, history) {
			c.Outdated = &history[n-1]
			return c
		}
		c.Active = &history[n-1]
		// What the spec asks for is not known before its charts are.
		isUnknown := inst.Spec.Charts != nil && !hasCharts
		c.IsSuperseded = !isUnknown && !isOnTheWay(c.Active, inst, wanted, members)
		c.IsTakenBack = c.IsSuperseded && isWayBack(c.Active, holds, wanted, members)
		return c
	}
	if !changed {
		if err := allHeld(holds, inst, to, wanted, members); err != nil {
			return c.stuck(meshv1alpha1.ReasonMembersHeld, err)
		}
		return c
	}
	if inst.Spec.Charts != nil && !hasCharts {
		return c.stuck(meshv1alpha1.ReasonChartsFetching, fmt.Errorf("the mesh does not go to Istio %s before its charts are fetched, see the condition %s",
			inst.Spec.Version, meshv1alpha1.ConditionChartsReady))
	}
	steps, problems := route(table, holds.Without(members), inst.Spec.Version, uint64(max(inst.Spec.Upgrade.MaxMinorStep, 0)))
	if len(problems) > 0 {
		return c.stuck(meshv1alpha1.ReasonUpgradeBlocked, together(append(problems, blockers(table, holds, wanted, members, []string{inst.Spec.Version})...)))
	}
	if steps[0] != inst.Spec.Version {
		if to, _, err = target(Wanting(inst, steps[0]), wanted.at(steps[0]), members); err != nil {
			return c.stuck(meshv1alpha1.ReasonInvalidValues, err)
		}
	}
	past := lastRun(inst, history, to)
	if past != nil && hasFailedFor(past, holds) && ActionOf(past) != meshv1alpha1.UpgradeActionRetry {
		return c.stuck(meshv1alpha1.ReasonUpgradeFailed, fmt.Errorf(
			"MeshUpgrade %s failed: %s; change the spec, or to try the same again annotate it with %s=%s, or count spec.upgrade.attempt up",
			past.Name, cmp.Or(past.Status.CauseDetail, past.Status.Message), meshv1alpha1.AnnotationAction, meshv1alpha1.UpgradeActionRetry))
	}
	if aborted := abortedBy(inst, past); aborted != "" {
		return c.stuck(meshv1alpha1.ReasonUpgradeAborted, fmt.Errorf("the mesh does not go to %s: %s, or take the change back", to.Revision, aborted))
	}
	waves, err := Waves(inst)
	problems = blockers(table, holds, wanted, members, steps)
	switch {
	case len(problems) > 0 && err != nil:
		return c.stuck(meshv1alpha1.ReasonUpgradeBlocked, together(append(problems, err)))
	case len(problems) > 0:
		return c.stuck(meshv1alpha1.ReasonUpgradeBlocked, together(problems))
	case err != nil:
		return c.stuck(meshv1alpha1.ReasonInvalidWaves, err)
	}
	c.Start = record(inst, origin(inst, &to, holds.Without(members)), to, waves, history)
	c.Start.Spec.Retry = RetryOf(Wanting(inst, to.Version), members, history)
	return c
}

// Wanting is the installation as if it asked for another version, with the charts in the operator's image.
func Wanting(inst *meshv1alpha1.MeshInstallation, version string) *meshv1alpha1.MeshInstallation {
	step := inst.DeepCopy()
	if version != inst.Spec.Version {
		step.Spec.Version, step.Spec.Charts = version, nil
	}
	return step
}

// isOnTheWay says whether an upgrade goes to what the spec asks for, or is a step to it.
func isOnTheWay(u *meshv1alpha1.MeshUpgrade, inst *meshv1alpha1.MeshInstallation, wanted Wanted, members []meshv1alpha1.MeshMember) bool {
	if cmp.Or(u.Spec.Towards, u.Spec.To.Version) != inst.Spec.Version {
		return false
	}
	to, _, err := target(Wanting(inst, u.Spec.To.Version), wanted.at(u.Spec.To.Version), members)
	return err == nil && isSameTarget(u, to, inst)
}

// isWayBack says whether the spec asks for exactly what every member of an upgrade came from. One that is held, and has no part in it, stays
// what it is in any case.
func isWayBack(u *meshv1alpha1.MeshUpgrade, holds Holds, wanted Wanted, members []meshv1alpha1.MeshMember) bool {
	for i := range members {
		m := &members[i]
		want, isMember := wanted[m.Spec.Cluster]
		if !isMember || mesh.IsLeaving(m) || !mesh.HasServed(m) {
			continue
		}
		former := mesh.RunningRevision(m)
		switch o := m.Spec.Rollout; {
		case o != nil && o.Upgrade == u.Name:
			former = o.From
		case holds.Has(m.Spec.Cluster):
			continue
		}
		if mesh.Difference(former, want) != "" {
			return false
		}
	}
	return true
}

func (c Decision) stuck(reason string, problem error) Decision {
	c.Reason, c.Problem = reason, problem
	return c
}

// Scope is the members that go back with a failure: all, unless the scope is one of those that name a part. Objects of an
// older operator have `Run` for all.
func Scope(s meshv1alpha1.RollbackScope) meshv1alpha1.RollbackScope {
	switch s {
	case meshv1alpha1.RollbackScopeMember, meshv1alpha1.RollbackScopeWave:
		return s
	}
	return meshv1alpha1.RollbackScopeUpgrade
}

// origin is what an upgrade starts from: what the mesh runs or, if that is the target already, what the oldest member runs that was left
// behind.
func origin(inst *meshv1alpha1.MeshInstallation, to *meshv1alpha1.RevisionTarget, members []meshv1alpha1.MeshMember) meshv1alpha1.RevisionTarget {
	from := meshv1alpha1.RevisionTarget{Revision: inst.Status.Revision, Version: inst.Status.EffectiveVersion, Hash: inst.Status.Hash}
	if from.Revision != to.Revision {
		return from
	}
	isFound := false
	for i := range members {
		m := &members[i]
		r := mesh.RunningRevision(m)
		if !mesh.HasServed(m) || mesh.IsLeaving(m) || mesh.IsTarget(to, m.Spec.Cluster, r) || isFound && istioversion.Compare(r.Version, from.Version) >= 0 {
			continue
		}
		from, isFound = meshv1alpha1.RevisionTarget{Revision: r.Name, Version: r.Version, Hash: mesh.RevisionHash(r), Charts: r.Charts}, true
	}
	return from
}

// record is the MeshUpgrade with which an upgrade begins.
func record(
	inst *meshv1alpha1.MeshInstallation, from, to meshv1alpha1.RevisionTarget, waves []meshv1alpha1.PlannedWave, history []meshv1alpha1.MeshUpgrade,
) *meshv1alpha1.MeshUpgrade {
	towards := ""
	if to.Version != inst.Spec.Version {
		towards = inst.Spec.Version
	}
	return &meshv1alpha1.MeshUpgrade{ObjectMeta: metav1.ObjectMeta{
		Name: mesh.UpgradeName(inst.Name, to, history), Namespace: inst.Namespace,
		Labels: map[string]string{meshv1alpha1.LabelInstallation: inst.Name},
		OwnerReferences: []metav1.OwnerReference{
			*metav1.NewControllerRef(inst, meshv1alpha1.GroupVersion.WithKind("MeshInstallation")),
		},
	}, Spec: meshv1alpha1.MeshUpgradeSpec{
		Installation: inst.Name,
		From:         from, To: to, Towards: towards, Waves: waves,
		OnFailure:     cmp.Or(inst.Spec.Upgrade.OnFailure, meshv1alpha1.FailureActionRollback),
		RollbackScope: Scope(inst.Spec.Upgrade.RollbackScope),
		Gates:         inst.Spec.Upgrade.Gates,
	}}
}

// isSameTarget says whether an upgrade goes to what the spec asks for. Members that have joined or left since it was
// planned make no difference, whatever their values.
func isSameTarget(u *meshv1alpha1.MeshUpgrade, to meshv1alpha1.RevisionTarget, inst *meshv1alpha1.MeshInstallation) bool {
	if u.Spec.To.SharedHash != to.SharedHash {
		return false
	}
	isMember := map[string]bool{}
	for i := range inst.Spec.Members {
		isMember[inst.Spec.Members[i].Name] = true
	}
	planned, wanted := ownHashes(u.Spec.To), ownHashes(to)
	for i := range u.Spec.Waves {
		for _, name := range u.Spec.Waves[i].Members {
			if isMember[name] && planned[name] != wanted[name] {
				return false
			}
		}
	}
	return true
}

func ownHashes(to meshv1alpha1.RevisionTarget) map[string]string {
	out := map[string]string{}
	for _, v := range to.OwnValues {
		out[v.Member] = v.Hash
	}
	return out
}

// isOutdated says whether the newest record is a plan that never ran and that is not what would be planned now.
func isOutdated(
	table istioversion.Table, inst *meshv1alpha1.MeshInstallation, wanted Wanted, members []meshv1alpha1.MeshMember, history []meshv1alpha1.MeshUpgrade,
) bool {
	last := &history[len(history)-1]
	switch phase, mode := last.Status.Phase, inst.Spec.Upgrade.Mode; {
	case last.Status.StartedAt != nil, ActionOf(last) == meshv1alpha1.UpgradeActionAbort:
		// A record that a person has aborted keeps that word.
		return false
	case phase == meshv1alpha1.UpgradePlanning, phase == meshv1alpha1.UpgradePlanned:
	case phase == "" && (mode == meshv1alpha1.UpgradeModePlan || mode == meshv1alpha1.UpgradeModeLocked):
		// It has just been made.
	default:
		return false
	}
	now := next(table, inst, wanted, members, historyAt(last, history[:len(history)-1]))
	return now.Start == nil || !isSamePlan(&now.Start.Spec, &last.Spec, isFree(wanted, members, last.Spec.To))
}

// isFree says whether the name of a target may still be used for what the installation asks for.
func isFree(wanted Wanted, members []meshv1alpha1.MeshMember, to meshv1alpha1.RevisionTarget) bool {
	return !isTaken(to.Revision, members, wanted.at(to.Version))
}

// isSamePlan compares what two plans would do. A name that is as good as before is kept, although one that was taken may have
// become free.
func isSamePlan(a, b *meshv1alpha1.MeshUpgradeSpec, keepName bool) bool {
	a, b = a.DeepCopy(), b.DeepCopy()
	a.Retry, b.Retry = nil, nil
	if keepName {
		a.To.Revision = b.To.Revision
	}
	return equality.Semantic.DeepEqual(a, b)
}
