// Package endpoints compares the endpoints that the istiods of two revisions know with each other, and with those that
// peers report of themselves. It asks nothing itself.
package endpoints

import (
	"context"
	"time"

	"github.com/meshfleet/meshfleet/internal/gate"
)

// recent is how old the report of a peer may be at the first look.
const recent = 10 * time.Second

// LookFunc compares once, with reports of these peers that are so old at most.
type LookFunc func(peers []string, age time.Duration) (Comparison, error)

// Settle looks until no difference is left that every look has shown, or often enough. After the first look only those
// peers are asked again of which something differs, and their reports are newer than the look before.
func Settle(ctx context.Context, peers []string, look LookFunc) (Comparison, error) {
	c, err := look(peers, recent)
	if err != nil {
		return Comparison{}, err
	}
	for n := 1; n < gate.Looks && len(c.differences) > 0; n++ {
		if err := gate.Pause(ctx, time.Second); err != nil {
			return Comparison{}, err
		}
		next, err := look(c.concerned(), 0)
		if err != nil {
			return Comparison{}, err
		}
		c = c.confirmed(next)
	}
	return c, nil
}
