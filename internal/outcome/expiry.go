package outcome

import (
	"time"

	"github.com/meshfleet/meshfleet/internal/phase"
)

const (
	// expiryShare is the part of a lifetime that is left when it is reported as expiring: a fifth.
	expiryShare = 5
	// ExpiryRecheck bounds the time between two looks at the clock.
	ExpiryRecheck = 24 * time.Hour
)

// Expiry is the lifetime of something, and what is reported of it.
type Expiry struct {
	// NotBefore is the beginning; zero: it is not known. NotAfter is the end.
	NotBefore, NotAfter time.Time
	// Notice bounds the time before the end at which it is reported as expiring.
	Notice time.Duration
	// Current, Expiring and Expired are what is reported before that time, from then on, and from the end on.
	Current, Expiring, Expired phase.Result
}

// Judge is what is reported now, and when to look again.
func (e Expiry) Judge(now time.Time) phase.Result {
	left, notice := e.NotAfter.Sub(now), e.Notice
	if !e.NotBefore.IsZero() {
		notice = min(notice, e.NotAfter.Sub(e.NotBefore)/expiryShare)
	}
	result := e.Expiring
	switch {
	case left <= 0:
		return e.Expired
	case left > notice:
		result = e.Current
		left -= notice
	}
	result.After = min(max(left, ShortWait), ExpiryRecheck)
	return result
}
