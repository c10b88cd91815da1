package rollout

import (
	"strings"
	"testing"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// TestHold wants a reason and a cure wherever an upgrade stands still until a person acts.
func TestHold(t *testing.T) {
	install, preflight := meshv1alpha1.StageInstall, meshv1alpha1.StagePreflight
	inconclusive := meshv1alpha1.StageInconclusive
	for name, c := range map[string]struct {
		set    func(*world)
		reason string
		// cure is a part of it; message says that the message has it.
		cure, message string
	}{
		"it goes on": {set: func(*world) {}},
		"paused by the annotation": {
			set:    func(w *world) { annotate(w.upgrade, meshv1alpha1.UpgradeActionPause) },
			reason: meshv1alpha1.ReasonUpgradePaused, cure: "to go on, take the annotation away"},
		"paused in both places": {
			set: func(w *world) {
				annotate(w.upgrade, meshv1alpha1.UpgradeActionPause)
				w.state = meshv1alpha1.UpgradeStatePause
			},
			reason: meshv1alpha1.ReasonUpgradePaused, cure: "take the annotation away and write Run to spec.upgrade.state of the MeshInstallation"},
		"a wave waits for approval": {
			set:    func(w *world) { w.upgrade.Spec.Waves[0].Approval = meshv1alpha1.ApprovalRequired },
			reason: meshv1alpha1.ReasonWaitingForApproval, cure: "MeshApproval shop-1-canary to Approved or Rejected"},
		"a gate cannot tell": {
			set:    func(w *world) { w.at("east", install, inconclusive) },
			reason: meshv1alpha1.ReasonGatesInconclusive, cure: "when the gates can tell"},
		"a member failed, and failures pause": {
			set: func(w *world) {
				pauseOnFailure(w)
				w.at("east", install, meshv1alpha1.StageFailed)
			},
			reason: meshv1alpha1.ReasonMembersFailed, cure: "when they are well"},
		"a preflight found something": {
			set: func(w *world) {
				for _, m := range w.members {
					w.at(m.Spec.Cluster, preflight, inconclusive)
				}
			},
			reason: meshv1alpha1.ReasonPreflightBlocked, cure: "spec.upgrade.ignoreChecks"},
		"a member cannot be reached": {
			set:    func(w *world) { setReachable(w.member("west"), false, w.now) },
			reason: meshv1alpha1.ReasonMembersNotReporting, cure: "restore the connection"},
		"a member that has begun cannot be reached for long": {
			set: func(w *world) {
				w.at("east", install, meshv1alpha1.StageProgressing)
				setReachable(w.member("east"), false, w.now)
				w.now = w.now.Add(24 * time.Hour)
			},
			reason: meshv1alpha1.ReasonMembersNotReporting, message: "restore the connection, or abort the upgrade"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, canaryAndRest()...)
			c.set(w)
			d := Next(w.stored())
			if d.Hold.Reason != c.reason || !strings.Contains(d.Hold.Cure, c.cure) || (c.cure == "") != (d.Hold.Cure == "") {
				t.Errorf("the upgrade is %s (%s): %+v, want reason %q and cure %q", d.Status.Phase, d.Status.Message, d.Hold, c.reason, c.cure)
			}
			if !strings.Contains(d.Status.Message, c.message) {
				t.Errorf("message %q, want it to have %q", d.Status.Message, c.message)
			}
		})
	}
}
