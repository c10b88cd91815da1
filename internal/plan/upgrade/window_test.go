package upgrade

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

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
			got := OpeningAt(c.window, read(c.now))
			start := ""
			if !got.Start.IsZero() {
				start = got.Start.UTC().Format(time.RFC3339)
			}
			if got.IsOpen != c.wantOpen || start != c.want {
				t.Errorf("is open: %t, opening at %q, want %t, %q", got.IsOpen, start, c.wantOpen, c.want)
			}
			if c.want != "" && got.End.Sub(got.Start) != c.window.Duration.Duration {
				t.Errorf("it closes at %s, %s after it opened", got.End, got.End.Sub(got.Start))
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
		if next := schedule.Next(testutil.Now); !next.After(testutil.Now) {
			t.Errorf("%q opens at %s, which is not after %s", text, next, testutil.Now)
		}
	})
}
