package status

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// upgradeStatus is the status of an upgrade of which one of three members has moved.
func upgradeStatus(phase meshv1alpha1.UpgradePhase, cause meshv1alpha1.UpgradeCause, message string) meshv1alpha1.MeshUpgradeStatus {
	st := meshv1alpha1.MeshUpgradeStatus{Phase: phase, Cause: cause, Message: message, Waves: []meshv1alpha1.WaveStatus{
		{Name: "canary", Total: 1, Moved: 1}, {Name: "rest", Total: 2},
	}}
	if phase != meshv1alpha1.UpgradePlanning && phase != meshv1alpha1.UpgradePlanned {
		st.StartedAt = &metav1.Time{Time: now}
	}
	return st
}

func TestSetUpgrade(t *testing.T) {
	const again = "change the spec of the MeshInstallation, or try the same again by the annotation mesh.meshfleet.io/action: Retry"
	reconciling := func(ready, reason, message string) []string {
		return []string{"Ready=" + ready + " " + reason + ": " + message, "Reconciling=True " + reason + ": " + message,
			"Succeeded=Unknown " + reason + ": " + message}
	}
	stalled := func(succeeded, reason, message string) []string {
		return []string{"Ready=False " + reason + ": " + message, "Stalled=True " + reason + ": " + message,
			"Succeeded=" + succeeded + " " + reason + ": " + message}
	}
	cases := map[string]struct {
		status       meshv1alpha1.MeshUpgradeStatus
		reason, cure string
		want         []string
	}{
		"planning": {status: upgradeStatus(meshv1alpha1.UpgradePlanning, "", "members that are looked at: east"),
			want: reconciling("Unknown", "UpgradePlanned", "members that are looked at: east")},
		"planned": {status: upgradeStatus(meshv1alpha1.UpgradePlanned, "", "plan 0a"), reason: "UpgradePlanned", cure: "run it",
			want: stalled("Unknown", "UpgradePlanned", "plan 0a; run it")},
		"running": {status: upgradeStatus(meshv1alpha1.UpgradeRunning, "", `wave "rest": changing west`),
			want: reconciling("Unknown", "Upgrading", `1 of 3 members moved; wave "rest": changing west`)},
		"waiting for a window": {status: upgradeStatus(meshv1alpha1.UpgradeWaitingForWindow, "", "its window opens soon"),
			want: reconciling("Unknown", "WaitingForWindow", "1 of 3 members moved; its window opens soon")},
		"waiting for approval": {status: upgradeStatus(meshv1alpha1.UpgradeWaitingForApproval, "", `wave "rest" waits for approval`),
			reason: "WaitingForApproval", cure: "approve it",
			want: stalled("Unknown", "WaitingForApproval", `1 of 3 members moved; wave "rest" waits for approval; approve it`)},
		"paused, and the words have the cure": {status: upgradeStatus(meshv1alpha1.UpgradePaused, "", "no report from west; restore the connection"),
			reason: "MembersNotReporting",
			want:   stalled("Unknown", "MembersNotReporting", "1 of 3 members moved; no report from west; restore the connection")},
		"rolling back": {status: upgradeStatus(meshv1alpha1.UpgradeRollingBack, meshv1alpha1.CauseFailed, "west failed"),
			want: reconciling("False", "RollingBack", "west failed")},
		"stopping": {status: upgradeStatus(meshv1alpha1.UpgradeStopping, meshv1alpha1.CauseFailed, "west failed"),
			want: reconciling("False", "UpgradeStopping", "west failed")},
		"succeeded": {status: upgradeStatus(meshv1alpha1.UpgradeSucceeded, "", "every member runs 1-29-1"),
			want: []string{"Ready=True UpgradeSucceeded: every member runs 1-29-1", "Succeeded=True UpgradeSucceeded: every member runs 1-29-1"}},
		"failed": {status: upgradeStatus(meshv1alpha1.UpgradeRolledBack, meshv1alpha1.CauseFailed, "west failed"),
			want: stalled("False", "UpgradeFailed", "west failed; "+again)},
		"failed in a part": {status: upgradeStatus(meshv1alpha1.UpgradeStopped, meshv1alpha1.CauseFailed, "west failed; stopped"),
			want: stalled("False", "UpgradeFailed", "west failed; stopped; "+again)},
		"rejected": {status: upgradeStatus(meshv1alpha1.UpgradeRolledBack, meshv1alpha1.CauseRejected, `wave "rest" was rejected`),
			want: stalled("False", "UpgradeRejected", `wave "rest" was rejected; `+again)},
		"aborted": {status: upgradeStatus(meshv1alpha1.UpgradeRolledBack, meshv1alpha1.CauseAborted, "aborted"),
			want: stalled("False", "UpgradeAborted", "aborted; to start again, take the annotation mesh.meshfleet.io/action away and write Run to "+
				"spec.upgrade.state of the MeshInstallation")},
		"superseded": {status: upgradeStatus(meshv1alpha1.UpgradeStopped, meshv1alpha1.CauseSuperseded, "another target"),
			want: stalled("False", "UpgradeSuperseded", "another target; nothing is to be done here: the next MeshUpgrade starts from what each member runs")},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			st := c.status
			// Whatever was there before goes.
			SetUpgrade(&st, 1, Upgrade(&meshv1alpha1.MeshUpgradeStatus{Phase: meshv1alpha1.UpgradePaused}, "UpgradePaused", ""), now)
			SetUpgrade(&st, 2, Upgrade(&c.status, c.reason, c.cure), now)
			if diff := cmp.Diff(c.want, lines(st.Conditions)); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			if st.ObservedGeneration != 2 {
				t.Errorf("observed generation is %d, want 2", st.ObservedGeneration)
			}
			before := stored(t, st.Conditions)
			st.Conditions = stored(t, st.Conditions)
			SetUpgrade(&st, 2, Upgrade(&c.status, c.reason, c.cure), now.Add(time.Hour))
			if diff := cmp.Diff(before, st.Conditions); diff != "" {
				t.Errorf("a second pass would write the status again (-before +after):\n%s", diff)
			}
		})
	}
}

func TestSetApproval(t *testing.T) {
	upgrade := func(phase meshv1alpha1.UpgradePhase, cause meshv1alpha1.UpgradeCause, wave meshv1alpha1.WaveStatus) *meshv1alpha1.MeshUpgrade {
		wave.Name, wave.Total = "rest", 2
		u := &meshv1alpha1.MeshUpgrade{ObjectMeta: metav1.ObjectMeta{Name: "u", UID: "1"}, Status: meshv1alpha1.MeshUpgradeStatus{
			Phase: phase, Cause: cause, Waves: []meshv1alpha1.WaveStatus{{Name: "canary", Total: 1}, wave}}}
		u.Spec.Waves = []meshv1alpha1.PlannedWave{{Name: "canary"}, {Name: "rest"}}
		return u
	}
	const (
		pending, approved, rejected = meshv1alpha1.DecisionPending, meshv1alpha1.DecisionApproved, meshv1alpha1.DecisionRejected
		waits, running              = meshv1alpha1.UpgradeWaitingForApproval, meshv1alpha1.UpgradeRunning
	)
	at, nothing := metav1.NewTime(now), meshv1alpha1.WaveStatus{}
	later, earlier := metav1.NewTime(now.Add(48*time.Hour)), metav1.NewTime(now.Add(-time.Hour))
	started := meshv1alpha1.WaveStatus{StartedAt: &at}
	used := meshv1alpha1.WaveStatus{StartedAt: &earlier, ApprovedAt: &earlier}
	cases := map[string]struct {
		decision meshv1alpha1.Decision
		upgrade  *meshv1alpha1.MeshUpgrade
		// want is the status of Ready, of Used, the summary that is there beside Ready, and the reason.
		want [4]string
		// expires is when the approval expires, if it does.
		expires *metav1.Time
		edit    func(*meshv1alpha1.MeshApproval)
	}{
		"nobody has answered":                     {decision: pending, upgrade: upgrade(waits, "", nothing), want: [4]string{"False", "False", "Stalled", "WaitingForDecision"}},
		"nobody has answered, and all is paused":  {decision: pending, upgrade: upgrade(meshv1alpha1.UpgradePaused, "", nothing), want: [4]string{"False", "False", "Stalled", "WaitingForDecision"}},
		"approved just now":                       {decision: approved, upgrade: upgrade(waits, "", nothing), want: [4]string{"Unknown", "False", "Reconciling", "WaitingForUpgrade"}},
		"rejected just now":                       {decision: rejected, upgrade: upgrade(waits, "", nothing), want: [4]string{"Unknown", "False", "Reconciling", "WaitingForUpgrade"}},
		"approved under a pause":                  {decision: approved, upgrade: upgrade(meshv1alpha1.UpgradePaused, "", nothing), want: [4]string{"Unknown", "False", "Reconciling", "WaitingForUpgrade"}},
		"approved, and the wave goes":             {decision: approved, upgrade: upgrade(running, "", meshv1alpha1.WaveStatus{ApprovedAt: &at}), want: [4]string{"True", "True", "", "WaveApproved"}},
		"approved, and it failed after that":      {decision: approved, upgrade: upgrade(meshv1alpha1.UpgradeRolledBack, "Failed", meshv1alpha1.WaveStatus{ApprovedAt: &at}), want: [4]string{"True", "True", "", "WaveApproved"}},
		"rejected, and members go back":           {decision: rejected, upgrade: upgrade(meshv1alpha1.UpgradeRollingBack, "Rejected", nothing), want: [4]string{"True", "True", "", "WaveRejected"}},
		"rejected, and it is over":                {decision: rejected, upgrade: upgrade(meshv1alpha1.UpgradeRolledBack, "Rejected", nothing), want: [4]string{"True", "True", "", "WaveRejected"}},
		"not answered, and it is over":            {decision: pending, upgrade: upgrade(meshv1alpha1.UpgradeRolledBack, "Aborted", nothing), want: [4]string{"True", "False", "", "NotNeeded"}},
		"approved too late":                       {decision: approved, upgrade: upgrade(meshv1alpha1.UpgradeRollingBack, "Failed", nothing), want: [4]string{"True", "False", "", "NotNeeded"}},
		"rejected too late":                       {decision: rejected, upgrade: upgrade(meshv1alpha1.UpgradeStopping, "Failed", nothing), want: [4]string{"True", "False", "", "NotNeeded"}},
		"not answered, and nobody is to start":    {decision: pending, upgrade: upgrade(running, "", started), want: [4]string{"True", "False", "", "NotNeeded"}},
		"not answered, and the upgrade succeeded": {decision: pending, upgrade: upgrade(meshv1alpha1.UpgradeSucceeded, "", started), want: [4]string{"True", "False", "", "NotNeeded"}},
		"expires later": {decision: approved, upgrade: upgrade(waits, "", nothing), expires: &later,
			want: [4]string{"Unknown", "False", "Reconciling", "WaitingForUpgrade"}},
		"expires later, and the window is closed": {decision: approved, upgrade: upgrade(waits, "", meshv1alpha1.WaveStatus{ApprovedAt: &at}), expires: &later,
			want: [4]string{"Unknown", "False", "Reconciling", "WaitingForUpgrade"}},
		"expired":                         {decision: approved, upgrade: upgrade(waits, "", nothing), expires: &at, want: [4]string{"True", "False", "Accepted=False", "ApprovalExpired"}},
		"expired after the wave started":  {decision: approved, upgrade: upgrade(running, "", used), expires: &at, want: [4]string{"True", "True", "", "WaveApproved"}},
		"expired before the wave started": {decision: approved, upgrade: upgrade(running, "", started), expires: &earlier, want: [4]string{"True", "False", "Accepted=False", "ApprovalExpired"}},
		"of an earlier upgrade with that name": {decision: approved, upgrade: upgrade(running, "", used), edit: func(a *meshv1alpha1.MeshApproval) { a.Spec.UpgradeRef.UID = "0" },
			want: [4]string{"False", "False", "Accepted=FalseStalled", "UpgradeMismatch"}},
		"of a wave that there is not": {decision: pending, upgrade: upgrade(running, "", used), edit: func(a *meshv1alpha1.MeshApproval) { a.Spec.Wave = "none" },
			want: [4]string{"False", "False", "Accepted=FalseStalled", "UpgradeMismatch"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			a := &meshv1alpha1.MeshApproval{Spec: meshv1alpha1.MeshApprovalSpec{
				UpgradeRef: meshv1alpha1.UpgradeRef{Name: "u", UID: "1"}, Wave: "rest", Decision: c.decision, Expires: c.expires}}
			if c.edit != nil {
				c.edit(a)
			}
			a.Generation = 3
			SetApproval(a, c.upgrade, now)
			got := [4]string{}
			for _, condition := range a.Status.Conditions {
				switch condition.Type {
				case meshv1alpha1.ConditionReady:
					got[0], got[3] = string(condition.Status), condition.Reason
				case meshv1alpha1.ConditionUsed:
					got[1] = string(condition.Status)
				case meshv1alpha1.ConditionAccepted:
					if condition.Status == metav1.ConditionFalse {
						got[2] += "Accepted=False"
					}
				default:
					got[2] += condition.Type
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("conditions (-want +got):\n%s\n%v", diff, lines(a.Status.Conditions))
			}
			if a.Status.ObservedGeneration != 3 {
				t.Errorf("observed generation is %d, want 3", a.Status.ObservedGeneration)
			}
			before := stored(t, a.Status.Conditions)
			a.Status.Conditions = stored(t, a.Status.Conditions)
			SetApproval(a, c.upgrade, now.Add(time.Hour))
			if diff := cmp.Diff(before, a.Status.Conditions); diff != "" {
				t.Errorf("a second pass would write the status again (-before +after):\n%s", diff)
			}
		})
	}
}

func TestAnApprovalSaysWhatToDo(t *testing.T) {
	a := &meshv1alpha1.MeshApproval{Spec: meshv1alpha1.MeshApprovalSpec{UpgradeRef: meshv1alpha1.UpgradeRef{Name: "u"}, Wave: "rest", Decision: meshv1alpha1.DecisionPending}}
	u := &meshv1alpha1.MeshUpgrade{ObjectMeta: metav1.ObjectMeta{Name: "u"}, Status: upgradeStatus(meshv1alpha1.UpgradeWaitingForApproval, "", "")}
	u.Spec.Waves = []meshv1alpha1.PlannedWave{{Name: "rest"}}
	SetApproval(a, u, now)
	want := `wave "rest" of MeshUpgrade u waits with 2 members; set spec.decision to Approved or Rejected`
	if c := meta.FindStatusCondition(a.Status.Conditions, meshv1alpha1.ConditionStalled); c == nil || c.Message != want {
		t.Errorf("Stalled is %v, want the message %q", c, want)
	}
}
