package plan

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

func TestOpeningAt(t *testing.T) {
	read := func(text string) time.Time {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	window := func(schedule, zone string, d time.Duration) *meshv1alpha1.MaintenanceWindow {
		return &meshv1alpha1.MaintenanceWindow{Schedule: schedule, TimeZone: zone, Duration: metav1.Duration{Duration: d}}
	}
	cases := map[string]struct {
		window   *meshv1alpha1.MaintenanceWindow
		now      string
		wantOpen bool
		// want is the start of the opening that counts. Empty: there is none.
		want string
	}{
		"without a window it is always open": {now: "2026-01-01T00:00:00Z", wantOpen: true},
		"the moment at which it opens":       {window("0 2 * * *", "", time.Hour), "2026-01-01T02:00:00Z", true, "2026-01-01T02:00:00Z"},
		"the last moment before it closes":   {window("0 2 * * *", "", time.Hour), "2026-01-01T02:59:59Z", true, "2026-01-01T02:00:00Z"},
		"the moment at which it closes":      {window("0 2 * * *", "", time.Hour), "2026-01-01T03:00:00Z", false, "2026-01-02T02:00:00Z"},
		"over midnight":                      {window("0 23 * * 5", "", 3*time.Hour), "2026-01-03T01:59:00Z", true, "2026-01-02T23:00:00Z"},
		"days of the week":                   {window("0 22 * * 1-4", "UTC", time.Hour), "2026-01-02T00:00:00Z", false, "2026-01-05T22:00:00Z"},
		"openings that overlap":              {window("0 * * * *", "", 90*time.Minute), "2026-01-01T05:10:00Z", true, "2026-01-01T04:00:00Z"},
		"a zone east of Greenwich":           {window("0 2 * * *", "Asia/Tokyo", time.Hour), "2026-01-01T17:30:00Z", true, "2026-01-01T17:00:00Z"},
		"winter":                             {window("0 2 * * *", "Europe/Berlin", time.Hour), "2026-01-01T00:00:00Z", false, "2026-01-01T01:00:00Z"},
		"summer":                             {window("0 2 * * *", "Europe/Berlin", time.Hour), "2026-07-01T00:00:00Z", true, "2026-07-01T00:00:00Z"},
		"an hour that the clock leaves out":  {window("30 2 * * *", "Europe/Berlin", time.Hour), "2026-03-28T12:00:00Z", false, "2026-03-30T00:30:00Z"},
		"a leap day":                         {window("0 0 29 2 *", "", time.Hour), "2026-01-01T00:00:00Z", false, "2028-02-29T00:00:00Z"},
		"a schedule that cannot be read":     {window: window("nightly", "", time.Hour), now: "2026-01-01T00:00:00Z"},
		"a zone that does not exist":         {window: window("0 2 * * *", "Europe/Atlantis", time.Hour), now: "2026-01-01T00:00:00Z"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := openingAt(c.window, read(c.now))
			start := ""
			if !got.start.IsZero() {
				start = got.start.UTC().Format(time.RFC3339)
			}
			if got.isOpen != c.wantOpen || start != c.want {
				t.Errorf("is open: %t, opening at %q, want %t, %q", got.isOpen, start, c.wantOpen, c.want)
			}
			if c.want != "" && got.end.Sub(got.start) != c.window.Duration.Duration {
				t.Errorf("it closes at %s, %s after it opened", got.end, got.end.Sub(got.start))
			}
		})
	}
}

func TestParseSchedule(t *testing.T) {
	for _, good := range []string{"0 2 * * *", "*/15 22-23 * * MON-FRI", "0 0 29 2 *", "0  2 1,15 JAN ?"} {
		if _, err := ParseSchedule(good); err != nil {
			t.Errorf("%q is refused: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "nightly", "0 2 * *", "0 0 2 * * *", "60 2 * * *", "0 2 * * 8", "@daily", "@every 1h", "TZ=UTC 0 2 * * *", "CRON_TZ=0",
		"0 0 30 2 *", "0 2 * * MON-XYZ", "5-1 * * * *",
	} {
		if _, err := ParseSchedule(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	for _, bad := range []string{"Local", "Europe/Atlantis", "../etc/passwd", "CEST"} {
		if _, err := ParseTimeZone(bad); err == nil {
			t.Errorf("time zone %q is accepted", bad)
		}
	}
}

// FuzzParseSchedule looks for text that brings the library down, or opens in the past.
func FuzzParseSchedule(f *testing.F) {
	for _, seed := range []string{"0 2 * * *", "TZ=", "CRON_TZ=x", "@every -1s", "*/0 * * * *", "0 0 31 2,4 *", "1-/2 * * * ?"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		schedule, err := ParseSchedule(text)
		if err != nil {
			return
		}
		if next := schedule.Next(epoch); !next.After(epoch) {
			t.Errorf("%q opens at %s, which is not after %s", text, next, epoch)
		}
	})
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
