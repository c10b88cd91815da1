package mesh

import (
	"cmp"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// Pace is how many measurements a gate takes before it passes, and the time before each of them.
func Pace(g *meshv1alpha1.PrometheusGate) (count int32, interval time.Duration) {
	count, interval = cmp.Or(g.Count, 3), time.Minute
	if g.Interval != nil {
		interval = g.Interval.Duration
	}
	return count, interval
}
