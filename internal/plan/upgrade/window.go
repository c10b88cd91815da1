package upgrade

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// beginning is a time from which every schedule that opens at all does so within the years that are searched.
var beginning = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// ParseSchedule reads the five fields of a window's schedule. Error: it is none, or it never opens.
func ParseSchedule(text string) (cron.Schedule, error) {
	// The library takes a time zone in front of the fields, too. Windows have a field for that.
	if strings.Contains(text, "=") {
		return nil, fmt.Errorf("%q is no schedule: write minute, hour, day of month, month and day of week, and the zone into timeZone", text)
	}
	schedule, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%q is no schedule, write minute, hour, day of month, month and day of week: %w", text, err)
	}
	if schedule.Next(beginning).IsZero() {
		return nil, fmt.Errorf("schedule %q never opens: write a day that exists", text)
	}
	return schedule, nil
}

// ParseTimeZone finds a time zone by its IANA name. Empty is UTC. Error: there is none of that name.
func ParseTimeZone(name string) (*time.Location, error) {
	if name == "Local" {
		// That of the operator's pod, which nobody can know.
		return nil, fmt.Errorf("time zone %q: write the name of a place, for example Europe/Berlin", name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("time zone %q: write a name of the IANA database, for example Europe/Berlin: %w", name, err)
	}
	return zone, nil
}

// checkWindow says what is wrong with a window. Nil: nothing.
func checkWindow(w *meshv1alpha1.MaintenanceWindow) error {
	if w == nil {
		return nil
	}
	_, schedule := ParseSchedule(w.Schedule)
	_, zone := ParseTimeZone(w.TimeZone)
	return errors.Join(schedule, zone)
}

// Opening is the time of a window that counts at a time: when the one that is open has opened, else when the next one
// opens. The end is that of the one that is open. Without a window it is always open, since ever and for ever.
type Opening struct {
	IsOpen     bool
	Start, End time.Time
}

// OpeningAt finds the opening that counts now. A window that cannot be read does not open: it was checked when the
// waves were planned.
func OpeningAt(w *meshv1alpha1.MaintenanceWindow, now time.Time) Opening {
	if w == nil {
		return Opening{IsOpen: true}
	}
	schedule, err := ParseSchedule(w.Schedule)
	if err != nil {
		return Opening{}
	}
	zone, err := ParseTimeZone(cmp.Or(w.TimeZone, "UTC"))
	if err != nil {
		return Opening{}
	}
	// The first one that is not over yet.
	start := schedule.Next(now.In(zone).Add(-w.Duration.Duration))
	if start.IsZero() {
		return Opening{}
	}
	return Opening{IsOpen: !start.After(now), Start: start, End: start.Add(w.Duration.Duration)}
}
