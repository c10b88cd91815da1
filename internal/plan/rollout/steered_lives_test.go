package rollout

import (
	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/plan/plantest"
)

// steeredLives are stories over several upgrades that people steer by annotation.
func steeredLives() map[string]lifeCase {
	abort, retry := meshv1alpha1.UpgradeActionAbort, meshv1alpha1.UpgradeActionRetry
	install := meshv1alpha1.StageInstall
	stop := func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.Upgrade.RollbackScope = meshv1alpha1.RollbackScopeWave
	}
	ask := func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.Upgrade.Waves = []meshv1alpha1.Wave{{Name: "all", Approval: meshv1alpha1.ApprovalRequired}}
	}
	mended := func(at int, name string) edit {
		return edit{at: at, what: name + " is mended", do: plays(name, behaviour{})}
	}
	answered := func(at int, decision meshv1alpha1.Decision) edit {
		return edit{at: at, what: string(decision), do: func(l *life) { l.approvals[0].Spec.Decision = decision }}
	}
	return map[string]lifeCase{
		"a target that was aborted by annotation waits until that is gone": {
			edits: []edit{wantsVersion(0, "1.29.1"), annotates(5, 1, abort), annotates(60, 1, "")},
			want:  "1.29.1 RolledBack Aborted, 1.29.1 Succeeded"},
		"a target that was aborted by annotation starts when that says Retry, and nothing happens when it is gone": {
			edits: []edit{wantsVersion(0, "1.29.1"), annotates(5, 1, abort), annotates(60, 1, retry), annotates(120, 1, "")},
			want:  "1.29.1 RolledBack Aborted, 1.29.1 Succeeded"},
		"a target that was aborted by annotation and by the spec waits for both": {
			edits: []edit{
				wantsVersion(0, "1.29.1"), annotates(5, 1, abort), wantsState(6, meshv1alpha1.UpgradeStateAbort),
				wantsState(40, meshv1alpha1.UpgradeStateRun), annotates(60, 1, "")},
			want: "1.29.1 RolledBack Aborted, 1.29.1 Succeeded"},
		"a target that was aborted by the spec starts only when that says Run, whatever the annotation says": {
			edits: []edit{
				wantsVersion(0, "1.29.1"), wantsState(5, meshv1alpha1.UpgradeStateAbort), annotates(40, 1, retry),
				wantsState(60, meshv1alpha1.UpgradeStateRun)},
			want: "1.29.1 RolledBack Aborted, 1.29.1 Succeeded"},
		"an abort by annotation speaks of its own target only": {
			edits: []edit{
				wantsVersion(0, "1.29.1"), annotates(5, 1, abort), wantsVersion(30, "1.28.3"),
				edits(40, "other values", plantest.SharedValues(plantest.Values{"autoscaleMin": 3})), wantsVersion(120, "1.29.1", plantest.SharedValues(nil)), annotates(150, 1, "")},
			want: "1.29.1 RolledBack Aborted, 1.28.3 Succeeded, 1.29.1 Succeeded"},
		"an abort by annotation does not stop another attempt": {
			edits: []edit{wantsVersion(0, "1.29.1"), annotates(5, 1, abort), edits(60, "spec.upgrade.attempt: 1", plantest.Attempt(1))},
			want:  "1.29.1 RolledBack Aborted, 1.29.1 Succeeded"},
		"an abort that came too late to be heard holds nothing": {
			edits: []edit{wantsVersion(0, "1.29.1"), annotates(100, 1, abort), wantsVersion(120, "1.28.3"), wantsVersion(220, "1.29.1")},
			want:  "1.29.1 Succeeded, 1.28.3 Succeeded, 1.29.1 Succeeded"},
		"an abort of what was superseded is heard when the target is wanted again": {
			edits: []edit{wantsVersion(0, "1.29.1"), wantsVersion(5, "1.28.3"), annotates(6, 1, abort), wantsVersion(30, "1.29.1"), annotates(60, 1, "")},
			want:  "1.29.1 RolledBack Superseded, 1.29.1 Succeeded"},
		"a target that failed is tried once more by annotation, and fails again": {
			set: plays("east", behaviour{fails: install}),
			edits: []edit{
				wantsVersion(0, "1.29.1"), annotates(30, 1, retry), annotates(60, 1, ""), annotates(70, 1, retry), prunes(90),
				mended(110, "east"), annotates(120, 1, retry), prunes(125), annotates(200, 1, "")},
			want: "1.29.1 RolledBack Failed, 1.29.1 RolledBack Failed, 1.29.1 Succeeded"},
		"a target that was rejected is asked for again by annotation": {
			options: []plantest.Option{ask},
			edits: []edit{
				wantsVersion(0, "1.29.1"), answered(9, meshv1alpha1.DecisionRejected), annotates(30, 1, retry),
				answered(40, meshv1alpha1.DecisionApproved)},
			want: "1.29.1 RolledBack Rejected, 1.29.1 Succeeded"},
		"an upgrade that stopped half way goes on by annotation": {
			options: []plantest.Option{stop}, set: plays("west", behaviour{fails: install}),
			edits: []edit{wantsVersion(0, "1.29.1"), mended(50, "west"), annotates(60, 1, retry)},
			want:  "1.29.1 Stopped Failed, 1.29.1 Succeeded"},
		"a retry of what succeeded changes nothing": {
			edits: []edit{wantsVersion(0, "1.29.1"), annotates(100, 1, retry)},
			want:  "1.29.1 Succeeded"},
		"a retry does not stop another attempt, and the other way round": {
			set: plays("east", behaviour{fails: install}),
			edits: []edit{
				wantsVersion(0, "1.29.1"), edits(30, "spec.upgrade.attempt: 1", plantest.Attempt(1)), annotates(60, 2, retry),
				mended(80, "east"), edits(90, "spec.upgrade.attempt: 2", plantest.Attempt(2))},
			want: "1.29.1 RolledBack Failed, 1.29.1 RolledBack Failed, 1.29.1 RolledBack Failed, 1.29.1 Succeeded"},
	}
}
