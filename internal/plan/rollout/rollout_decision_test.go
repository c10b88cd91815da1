package rollout

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/plan"
)

// at a stage, with a report of it.
func (w *world) at(name string, stage meshv1alpha1.Stage, state meshv1alpha1.StageState) {
	m := w.member(name)
	m.Spec.Rollout = &meshv1alpha1.MemberRollout{Upgrade: w.upgrade.Name, From: older, To: newer, Stage: stage, OrderedAt: metav1.NewTime(w.now)}
	m.Status.Rollout = &meshv1alpha1.MemberRolloutStatus{
		Upgrade: w.upgrade.Name, Stage: stage, State: state, Since: metav1.NewTime(w.now),
	}
	plan.Content(&m.Spec, older, newer, stage)
}

// TestRolloutDecides looks at single decisions about what the stories do not meet.
func TestRolloutDecides(t *testing.T) {
	install, retire := meshv1alpha1.StageInstall, meshv1alpha1.StageRetire
	done, failed := meshv1alpha1.StageDone, meshv1alpha1.StageFailed
	type orders = map[string]meshv1alpha1.Stage
	preflight := meshv1alpha1.StagePreflight
	all := orders{"east": preflight, "north": preflight, "west": preflight}
	cases := map[string]struct {
		waves      []meshv1alpha1.PlannedWave
		set        func(*world)
		wantPhase  meshv1alpha1.UpgradePhase
		wantOrders orders
		wantFailed []string
	}{
		"a member that runs the target already needs nothing": {
			set:       func(w *world) { plan.Content(&w.member("east").Spec, older, newer, retire) },
			wantPhase: meshv1alpha1.UpgradeRunning, wantOrders: orders{"north": preflight, "west": preflight}},
		"and is not taken back": {
			set: func(w *world) {
				plan.Content(&w.member("east").Spec, older, newer, retire)
				w.at("north", install, failed)
			},
			wantPhase: meshv1alpha1.UpgradeRollingBack, wantOrders: orders{"north": meshv1alpha1.StageRollback}, wantFailed: []string{"north"}},
		"members start in the order of the plan": {
			waves: []meshv1alpha1.PlannedWave{wave("all", "west", "east", "north")}, set: func(w *world) {
				for _, name := range []string{"east", "north", "west"} {
					w.at(name, preflight, done)
				}
			},
			wantPhase: meshv1alpha1.UpgradeRunning, wantOrders: orders{"west": install, "east": preflight, "north": preflight}},
		"an order of unknown time has no deadline": {
			set: func(w *world) {
				w.at("east", install, done)
				w.member("east").Spec.Rollout.OrderedAt = metav1.Time{}
				w.member("east").Status.Rollout = nil
				w.now = w.now.Add(100 * tick)
			},
			wantPhase: meshv1alpha1.UpgradeRunning, wantOrders: orders{"east": install, "north": preflight, "west": preflight}},
		"orders of another upgrade count for nothing": {
			set: func(w *world) {
				w.at("east", meshv1alpha1.StageGateways, done)
				w.member("east").Spec.Rollout.Upgrade = "another"
			},
			wantPhase: meshv1alpha1.UpgradeRunning, wantOrders: all},
		"reports of another upgrade count for nothing": {
			set: func(w *world) {
				w.at("east", install, failed)
				w.member("east").Status.Rollout.Upgrade = "another"
			},
			wantPhase: meshv1alpha1.UpgradeRunning, wantOrders: orders{"east": install, "north": preflight, "west": preflight}},
		"answers about another upgrade count for nothing": {
			waves: asking(0, canaryAndRest()),
			set: func(w *world) {
				w.approvals = []meshv1alpha1.MeshApproval{{Spec: meshv1alpha1.MeshApprovalSpec{
					UpgradeRef: meshv1alpha1.UpgradeRef{Name: w.upgrade.Name, UID: "another"}, Wave: "canary", Decision: meshv1alpha1.DecisionApproved,
				}}}
			},
			wantPhase: meshv1alpha1.UpgradeWaitingForApproval, wantOrders: all},
		"failures are recorded by name": {
			waves: tolerant(3, []meshv1alpha1.PlannedWave{wave("all", "west", "north", "east")}),
			set: func(w *world) {
				w.at("east", install, failed)
				w.at("west", install, failed)
				w.upgrade.Status.Failed = []string{"north"}
			},
			wantPhase: meshv1alpha1.UpgradeRunning, wantFailed: []string{"east", "north", "west"},
			wantOrders: orders{"east": meshv1alpha1.StageRollback, "west": meshv1alpha1.StageRollback}},
		"a failure takes back who has retired": {
			set: func(w *world) {
				w.at("east", retire, done)
				w.at("north", meshv1alpha1.StageSoak, failed)
				w.at("west", retire, meshv1alpha1.StageInconclusive)
			},
			wantPhase: meshv1alpha1.UpgradeRollingBack, wantFailed: []string{"north"}, wantOrders: orders{
				"east": meshv1alpha1.StageRollback, "north": meshv1alpha1.StageRollback, "west": meshv1alpha1.StageRollback}},
		"an upgrade without members is done": {
			waves: []meshv1alpha1.PlannedWave{wave("nobody")}, set: func(*world) {},
			wantPhase: meshv1alpha1.UpgradeSucceeded, wantOrders: orders{}},
		"a finished upgrade orders nothing": {
			set: func(w *world) {
				w.at("east", meshv1alpha1.StageDiscard, done)
				w.upgrade.Status.Phase, w.upgrade.Status.Message = meshv1alpha1.UpgradeRolledBack, "over"
			},
			wantPhase: meshv1alpha1.UpgradeRolledBack},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if c.waves == nil {
				c.waves = canaryAndRest()
			}
			w := newWorld(t, c.waves...)
			c.set(w)
			in := w.stored()
			d := Next(in)
			w.checkDecision(in, d)
			if diff := cmp.Diff(c.wantOrders, d.Orders); diff != "" {
				t.Errorf("orders (-want +got):\n%s", diff)
			}
			if d.Status.Phase != c.wantPhase || !slices.Equal(d.Status.Failed, c.wantFailed) {
				t.Errorf("the upgrade is %s with failed %v, want %s with %v", d.Status.Phase, d.Status.Failed, c.wantPhase, c.wantFailed)
			}
		})
	}
}

// TestRolloutKeepsTime looks at the times of a run: in whole seconds, as they are stored, and gone with what they spoke of.
func TestRolloutKeepsTime(t *testing.T) {
	w := newWorld(t, canaryAndRest()...)
	w.now = epoch.Add(300 * time.Millisecond)
	w.at("east", meshv1alpha1.StageSoak, meshv1alpha1.StageDone)
	d := Next(w.stored())
	since := d.Status.Waves[0].SoakingSince
	if since == nil || !since.Time.Equal(epoch) || !d.Status.StartedAt.Time.Equal(epoch) {
		t.Fatalf("started %s, soaking since %s, want %s", d.Status.StartedAt, since, epoch)
	}
	if want := 5*tick - 300*time.Millisecond; d.After != want {
		t.Errorf("looks again after %s, want %s", d.After, want)
	}
	w.upgrade.Status, w.state = d.Status, meshv1alpha1.UpgradeStateAbort
	d = Next(w.stored())
	if d.Status.Waves[0].SoakingSince != nil || d.After != 0 {
		t.Errorf("on its way back the wave soaks since %s, and time would change something after %s", d.Status.Waves[0].SoakingSince, d.After)
	}
}

// TestRolloutIgnoresRehearsedGates wants neither a cause nor progress from a gate whose answers count for nothing.
func TestRolloutIgnoresRehearsedGates(t *testing.T) {
	w := newWorld(t, canaryAndRest()...)
	w.at("east", meshv1alpha1.StageInstall, meshv1alpha1.StageProgressing)
	st := w.member("east").Status.Rollout
	old, recent := metav1.NewTime(w.now.Add(-24*time.Hour)), metav1.NewTime(w.now)
	for _, m := range w.members {
		setReachable(m, true, old.Time)
	}
	st.Since, st.Message = old, "waits"
	st.Gates = []meshv1alpha1.GateResult{
		{Name: "A", Verdict: meshv1alpha1.VerdictPass, DryRun: true, Since: recent},
		{Name: "B", Verdict: meshv1alpha1.VerdictError, DryRun: true, Since: recent},
	}
	got := Next(w.stored()).Status
	if got.Phase != meshv1alpha1.UpgradeRollingBack || !strings.HasSuffix(got.CauseDetail, ": waits") {
		t.Errorf("the upgrade is %s (%s), want it to go back for the deadline with the member's own words", got.Phase, got.CauseDetail)
	}
	st.Gates[0].DryRun = false
	if got := Next(w.stored()).Status; got.Phase == meshv1alpha1.UpgradeRollingBack {
		t.Errorf("a gate that came to pass counts as no progress: %s", got.Message)
	}
}

// TestRolloutDoesNotCountWhatNobodyWatched gives every member its deadline anew when the operator was down for long.
func TestRolloutDoesNotCountWhatNobodyWatched(t *testing.T) {
	w := newWorld(t, canaryAndRest()...)
	w.at("east", meshv1alpha1.StageInstall, meshv1alpha1.StageProgressing)
	w.now = w.now.Add(100 * tick)
	in := w.stored()
	if got := Next(in).Status.Phase; got != meshv1alpha1.UpgradeRollingBack {
		t.Fatalf("watched all the time, the upgrade is %s", got)
	}
	in.WatchedSince = w.now.Add(-tick)
	if d := Next(in); d.Status.Phase != meshv1alpha1.UpgradeRunning || d.After != 9*tick {
		t.Errorf("the upgrade is %s, looked at again after %s, want 9 minutes", d.Status.Phase, d.After)
	}
	in.Members[0].Status.Rollout = nil
	if d := Next(in); d.Status.Phase != meshv1alpha1.UpgradeRunning || d.After != 9*tick {
		t.Errorf("with a member that has reported nothing the upgrade is %s, looked at again after %s, want 9 minutes", d.Status.Phase, d.After)
	}
}
