package plan

import (
	"cmp"
	"slices"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/plan/upgrade"
)

// RestoredRecords are the records of upgrades, oldest first, each with a status. A record that has none came from a backup, or was made a
// moment ago. If work orders of members follow it, it is under way, and its status is made again from them; it comes last then. If it
// is not the newest, it is over. It is left as it is while it is not known of its members what they run. One that has not finished comes
// after those that have, in this pass and later ones: a backup brings records back in any order.
func RestoredRecords(
	history []meshv1alpha1.MeshUpgrade, inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember, now time.Time,
) []meshv1alpha1.MeshUpgrade {
	out := slices.Clone(history)
	slices.SortStableFunc(out, func(a, b meshv1alpha1.MeshUpgrade) int { return cmp.Compare(unfinished(a), unfinished(b)) })
	if !slices.ContainsFunc(out, isBlank) {
		return out
	}
	var over, underWay []meshv1alpha1.MeshUpgrade
	for i := range out {
		u := &out[i]
		if !isBlank(*u) || len(Lost(u, inst, members, now)) > 0 {
			over = append(over, *u)
			continue
		}
		if st, hasBegun := statusFrom(u, members); hasBegun {
			u.Status = st
			underWay = append(underWay, *u)
			continue
		}
		over = append(over, *u)
	}
	out = slices.Concat(over, underWay)
	for i := range out[:len(out)-1] {
		if u := &out[i]; isBlank(*u) && len(Lost(u, inst, members, now)) == 0 {
			u.Status.Phase, u.Status.Cause = meshv1alpha1.UpgradeStopped, meshv1alpha1.CauseSuperseded
			u.Status.Message = "the record was restored without its status, and no member follows it"
		}
	}
	return out
}

// unfinished is 1 for a record that has not finished, else 0.
func unfinished(u meshv1alpha1.MeshUpgrade) int {
	if u.Status.Phase.IsFinished() {
		return 0
	}
	return 1
}

// isBlank says that a record has no status: it has just been made, or was restored.
func isBlank(u meshv1alpha1.MeshUpgrade) bool {
	return u.Status.Phase == "" && u.Status.StartedAt == nil
}

// statusFrom is as much of the status of an upgrade as the work orders of its members tell. False: none follows it.
func statusFrom(u *meshv1alpha1.MeshUpgrade, members []meshv1alpha1.MeshMember) (meshv1alpha1.MeshUpgradeStatus, bool) {
	st := *u.Status.DeepCopy()
	for i := range members {
		o := members[i].Spec.Rollout
		if o == nil || o.Upgrade != u.Name || o.Stage == meshv1alpha1.StagePreflight {
			continue
		}
		if st.StartedAt == nil || o.OrderedAt.Before(st.StartedAt) {
			st.StartedAt = o.OrderedAt.DeepCopy()
		}
		if !mesh.IsRollingBack(&members[i]) {
			continue
		}
		if o.Cause == meshv1alpha1.CauseFailed {
			st.Failed = append(st.Failed, members[i].Spec.Cluster)
		}
		if st.Cause == "" || st.Cause == meshv1alpha1.CauseFailed {
			st.Cause = o.Cause
		}
	}
	if st.StartedAt == nil {
		return st, false
	}
	slices.Sort(st.Failed)
	st.Phase, st.Message = meshv1alpha1.UpgradeRunning, "the record was restored without its status; it goes on from what the members run"
	scope := upgrade.Scope(u.Spec.RollbackScope)
	switch {
	case st.Cause == "":
	case scope == meshv1alpha1.RollbackScopeUpgrade && len(st.Failed) <= allowedFailures(u, st.Failed) && st.Cause == meshv1alpha1.CauseFailed:
		// As many may fail: only they go back.
		st.Cause = ""
	default:
		st.CauseDetail = "the members were being rolled back when the record was restored without its status"
		if scope == meshv1alpha1.RollbackScopeUpgrade {
			st.Phase = meshv1alpha1.UpgradeRollingBack
		}
	}
	return st, true
}

// allowedFailures is how many of the failed members do not exceed what their waves allow.
func allowedFailures(u *meshv1alpha1.MeshUpgrade, failed []string) (allowed int) {
	for i := range u.Spec.Waves {
		w := &u.Spec.Waves[i]
		n := 0
		for _, name := range w.Members {
			if slices.Contains(failed, name) {
				n++
			}
		}
		allowed += min(n, int(w.MaxFailures))
	}
	return allowed
}

// Unanswered are the members that the spec names and of which it is not known yet what they run, while the installation is so new that it
// may have been restored. Nothing is started before they have answered.
func Unanswered(inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember, now time.Time) []string {
	if now.Sub(inst.CreationTimestamp.Time) >= lostFor {
		return nil
	}
	var names []string
	for _, m := range named(inst) {
		names = append(names, m.Name)
	}
	return withoutAnswer(names, members)
}

// withoutAnswer are those of the names whose MeshMember is missing, or has not said whether a control plane runs there.
func withoutAnswer(names []string, members []meshv1alpha1.MeshMember) []string {
	var out []string
	for _, name := range names {
		i := slices.IndexFunc(members, func(m meshv1alpha1.MeshMember) bool { return m.Spec.Cluster == name })
		if i < 0 || !mesh.HasServed(&members[i]) && members[i].Status.Trust.ClaimedRoot == nil {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
