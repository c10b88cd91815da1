package gate

import (
	"context"
	"slices"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// WithDryRun makes dry runs of the gates whose specs ask for it.
func WithDryRun(gates []Gate, specs []meshv1alpha1.Gate) []Gate {
	gates = slices.Clone(gates)
	for i, g := range gates {
		if slices.ContainsFunc(specs, func(s meshv1alpha1.Gate) bool { return s.Name == g.Name() && s.DryRun }) {
			gates[i] = dryRun{g}
		}
	}
	return gates
}

// dryRun is a gate from whose answers nothing follows.
type dryRun struct{ Gate }

func (d dryRun) Ask(ctx context.Context, s Subject) Answer {
	a := d.Gate.Ask(ctx, s)
	a.DryRun = true
	return a
}
