package gate

import (
	"context"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// Configure applies what people have configured to the gates of a stage.
func Configure(gates []Gate, specs []meshv1alpha1.Gate) []Gate {
	dryRun := map[string]bool{}
	for _, s := range specs {
		dryRun[s.Name] = s.DryRun
	}
	out := make([]Gate, 0, len(gates))
	for _, g := range gates {
		if dryRun[g.Name()] {
			g = rehearsal{g}
		}
		out = append(out, g)
	}
	return out
}

// rehearsal is a gate from whose answers nothing follows.
type rehearsal struct{ Gate }

func (r rehearsal) Ask(ctx context.Context, m Member) Answer {
	a := r.Gate.Ask(ctx, m)
	a.DryRun = true
	return a
}
