package custom

import (
	"context"
	"fmt"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// measureAgain is the pace of a measurement that gave no number.
const measureAgain = 10 * time.Second

// measurement is a gate that measures several times and counts what was out of bounds.
type measurement struct {
	count, failureLimit int32
	interval            time.Duration
	spec                *meshv1alpha1.PrometheusGate
}

// reading is one measurement. Without a number, why has the reason.
type reading struct {
	value float64
	// what was measured, when there are several.
	what string
	why  string
	// isOver means that there will never be more to measure.
	isOver bool
}

// newMeasurement makes a gate of a query. The first answer comes after an interval: ranges then reach back to the change
// and not further.
func newMeasurement(name string, spec *meshv1alpha1.PrometheusGate) gate.Gate {
	count, interval := mesh.Pace(spec)
	g := measurement{count: count, failureLimit: spec.FailureLimit, interval: interval, spec: spec}
	wait := func(last meshv1alpha1.Verdict) time.Duration {
		if last == meshv1alpha1.VerdictInconclusive || last == meshv1alpha1.VerdictError {
			return min(g.interval, measureAgain)
		}
		return g.interval
	}
	return gate.NewPaced(name, wait, g.ask)
}

func (g measurement) ask(ctx context.Context, m *gate.Subject, last *meshv1alpha1.GateResult) (gate.Answer, error) {
	var counted meshv1alpha1.GateMeasurements
	if last != nil && last.Measurements != nil {
		counted = *last.Measurements
	}
	if last == nil || last.AskedAt == nil {
		a := gate.Pending("the first of %s comes in %s", gate.Count(int(g.count), "measurement"), g.interval)
		a.Measurements = &counted
		return a, nil
	}
	if counted.Bad > g.failureLimit {
		// What was bad stays bad.
		return gate.Repeat(last), nil
	}
	limits, err := newBounds(g.spec.Min, g.spec.Max)
	if err != nil {
		return gate.Answer{}, err
	}
	r, err := read(ctx, m, g.spec, limits)
	switch {
	case err != nil:
		return gate.Answer{}, err
	case r.why != "" && r.isOver && counted.Taken >= g.count:
		return gate.Repeat(last), nil
	case r.why != "":
		a := gate.Inconclusive("%s; %s", r.why, g.soFar(counted))
		a.Measurements = &counted
		return a, nil
	}
	return g.add(counted, r, limits), nil
}

// add counts a reading.
func (g measurement) add(counted meshv1alpha1.GateMeasurements, r reading, limits bounds) gate.Answer {
	counted.Taken++
	relation := "is"
	if !limits.hold(r.value) {
		counted.Bad++
		relation = "is not"
	}
	a := gate.Answer{Message: fmt.Sprintf("%s%s %s %s; %s", r.what, gate.Number(r.value), relation, limits, g.soFar(counted))}
	switch {
	case counted.Bad > g.failureLimit:
		a.Verdict = meshv1alpha1.VerdictFail
	case counted.Taken < g.count:
		a.Verdict = meshv1alpha1.VerdictPending
	default:
		a.Verdict = meshv1alpha1.VerdictPass
	}
	a = a.Measured(r.value, limits.String())
	a.Measurements = &counted
	return a
}

func (g measurement) soFar(counted meshv1alpha1.GateMeasurements) string {
	return fmt.Sprintf("%d of %s, %d bad", counted.Taken, gate.Count(int(g.count), "measurement"), counted.Bad)
}
