package rollout

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// hourly opens at every full hour.
const hourly = "0 * * * *"

// within gives a wave a window.
func within(i int, schedule string, minutes int, waves []meshv1alpha1.PlannedWave) []meshv1alpha1.PlannedWave {
	waves[i].Window = &meshv1alpha1.MaintenanceWindow{Schedule: schedule, Duration: metav1.Duration{Duration: time.Duration(minutes) * time.Minute}}
	return waves
}

// windows are stories of waves that start at certain times only.
func windows() map[string]scenario {
	install, soak := meshv1alpha1.StageInstall, meshv1alpha1.StageSoak
	return map[string]scenario{
		"a wave waits for its window": {
			waves: within(1, hourly, 10, canaryAndRest()), want: succeeded},
		"who has begun finishes after the window, the others wait for the next one": {
			waves: within(1, hourly, 5, canaryAndRest()), want: succeeded},
		"a wave soaks outside its window": {
			waves: within(0, hourly, 2, canaryAndRest()), want: succeeded},
		"who is going back does not wait for a window": {
			waves: within(1, hourly, 5, canaryAndRest()), set: behaves("north", behaviour{fails: meshv1alpha1.StageWorkloads}), want: rolledBack},
		"an approval is asked for while the window is closed": {
			waves: asking(1, within(1, hourly, 10, canaryAndRest())), set: happens(answers(20, "rest", meshv1alpha1.DecisionApproved)), want: succeeded},
		"who cannot be reached while the window is closed has not failed": {
			waves: within(1, hourly, 10, canaryAndRest()), set: happens(reachable(3, "west", false), reachable(67, "west", true)), want: succeeded},
		"who cannot be reached is left behind, and begins in a later opening": {
			waves: tolerant(1, within(1, hourly, 15, canaryAndRest())), want: succeeded,
			set: both(behaves("north", behaviour{ticks: map[meshv1alpha1.Stage]int{install: 8}}),
				both(ignorePeers, happens(reachable(31, "west", false), reachable(100, "west", true))))},
		"a person takes everything back while the window is closed": {
			waves: within(1, hourly, 10, canaryAndRest()), set: happens(wants(30, meshv1alpha1.UpgradeStateAbort)), want: rolledBack},
		"a window in which nobody is left to start is not waited for": {
			waves: within(0, "0 0 1 1 *", 2, canaryAndRest()), want: succeeded,
			set: behaves("east", behaviour{ticks: map[meshv1alpha1.Stage]int{soak: 9}})},
		"a member that reports nothing of a stage pauses the upgrade": {
			waves: canaryAndRest(), set: behaves("east", behaviour{silent: install}), want: paused},
		"a member that reports nothing of a stage for long goes on when it does": {
			waves: canaryAndRest(), set: behaves("east", behaviour{silent: install, back: 40}), want: succeeded},
		"a member that says nothing for a moment does not": {
			waves: canaryAndRest(), set: behaves("east", behaviour{silent: install, back: 8}), want: succeeded},
	}
}

// checkWindow checks that a member which starts does so while its wave's window is open, by a look at the clock: all
// windows of the simulation open at full hours or every twenty minutes.
func (w *world) checkWindow(planned *meshv1alpha1.PlannedWave, name string) {
	w.t.Helper()
	if planned.Window == nil {
		return
	}
	minute := w.now.Minute()
	switch {
	case strings.HasPrefix(planned.Window.Schedule, "*/20 "):
		minute %= 20
	case !strings.HasPrefix(planned.Window.Schedule, "0 "):
		w.violated("no idea when %q opens", planned.Window.Schedule)
	}
	if time.Duration(minute)*time.Minute >= planned.Window.Duration.Duration {
		w.violated("%s starts at %s, its window opens at %q for %s", name, w.now, planned.Window.Schedule, planned.Window.Duration.Duration)
	}
}

// TestRolloutTimesWaves looks at the times of waves: they begin and end as they do in the story.
func TestRolloutTimesWaves(t *testing.T) {
	w := newWorld(t, within(1, hourly, 10, canaryAndRest())...)
	w.run(30)
	canary, rest := w.upgrade.Status.Waves[0], w.upgrade.Status.Waves[1]
	if !canary.StartedAt.Time.Equal(epoch.Add(tick)) || canary.FinishedAt == nil || !canary.FinishedAt.Time.Equal(epoch.Add(15*tick)) {
		t.Errorf("canary from %s to %s, want 14 minutes from the first on", canary.StartedAt, canary.FinishedAt)
	}
	if rest.StartedAt != nil || rest.FinishedAt != nil || rest.OpensAt == nil || !rest.OpensAt.Time.Equal(epoch.Add(time.Hour)) {
		t.Errorf("rest from %s to %s, opens at %s, want nothing but an opening after an hour", rest.StartedAt, rest.FinishedAt, rest.OpensAt)
	}
	w.run(40)
	if rest = w.upgrade.Status.Waves[1]; rest.StartedAt == nil || !rest.StartedAt.Time.Equal(epoch.Add(time.Hour)) || rest.OpensAt != nil || rest.FinishedAt != nil {
		t.Errorf("rest from %s to %s, opens at %s, want a beginning after an hour", rest.StartedAt, rest.FinishedAt, rest.OpensAt)
	}
	w.state, w.changed = meshv1alpha1.UpgradeStateAbort, true
	w.run(1)
	if canary = w.upgrade.Status.Waves[0]; canary.FinishedAt != nil {
		t.Errorf("canary is finished at %s while it goes back", canary.FinishedAt)
	}
	w.run(60)
	for _, s := range w.upgrade.Status.Waves {
		if s.FinishedAt == nil || s.FinishedAt.Before(s.StartedAt) || w.upgrade.Status.FinishedAt.Before(s.FinishedAt) {
			t.Errorf("wave %s from %s to %s, the upgrade ends %s", s.Name, s.StartedAt, s.FinishedAt, w.upgrade.Status.FinishedAt)
		}
	}
}
