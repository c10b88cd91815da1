package harness

import (
	"context"
	"slices"
	"time"
)

// Phases tells how a load fared in each phase of a change.
type Phases struct {
	load   *Steady
	phases []loadPhase
}

// loadPhase is what had come of the load when a phase began.
type loadPhase struct {
	name   string
	start  time.Time
	report LoadReport
}

// NewPhases tells of a load that runs.
func NewPhases(load *Steady) *Phases { return &Phases{load: load} }

// Begin ends the present phase and begins the next.
func (p *Phases) Begin(ctx context.Context, name string) {
	// A sum that cannot be read now is in the next one: no request goes uncounted, it is only told of later.
	report, err := p.load.Sum(ctx)
	if err != nil && len(p.phases) > 0 {
		report = p.phases[len(p.phases)-1].report
	}
	p.phases = append(p.phases, loadPhase{name: name, start: time.Now(), report: report})
}

// Print shows requests, failures and duration of each phase, given the sum of all.
func (p *Phases) Print(e *Env, total LoadReport) {
	ends := slices.Concat(p.phases, []loadPhase{{start: time.Now(), report: total}})
	e.Logf("  %8s %6s %6s  %s", "duration", "sent", "failed", "phase")
	for i, phase := range p.phases {
		end := ends[i+1]
		e.Logf("  %6.1f s %6d %6d  %s", end.start.Sub(phase.start).Seconds(),
			end.report.Sent-phase.report.Sent, end.report.Failed-phase.report.Failed, phase.name)
	}
}
