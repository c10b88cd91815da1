package gate

import (
	"context"
	"slices"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// Configure applies what people have configured to the built-in gates of a stage, and adds their own gates to them:
// webhooks at every stage with gates, measurements only where there is traffic to measure.
func Configure(builtIn []Gate, specs []meshv1alpha1.Gate, stage meshv1alpha1.Stage) []Gate {
	gates := slices.Clone(builtIn)
	for i := range specs {
		switch s := &specs[i]; {
		case s.Webhook != nil:
			gates = append(gates, newCallout(s.Name, s.Webhook))
		case s.Prometheus != nil && stage != meshv1alpha1.StageInstall:
			gates = append(gates, newMeasurement(s.Name, s.Prometheus))
		case s.ConfigDiff != nil:
			for k, g := range gates {
				if g.Name() == configDiffName {
					gates[k] = newConfigDiff(s.ConfigDiff)
				}
			}
		}
	}
	return rehearsed(gates, specs)
}

// OfGateway are the gates that are asked while the east-west gateway is replaced: those that are built in, of proxies.
func OfGateway(specs []meshv1alpha1.Gate) []Gate {
	return rehearsed([]Gate{
		question{ControlPlaneReady, patience, controlPlaneReady},
		question{"ConfigAccepted", patience, configAccepted},
		question{"ProxiesSynced", patience, proxiesSynced},
	}, specs)
}

// Between are the gates that are asked between batches of workloads: those that are built in, and while workloads of both
// revisions serve also those that compare the two.
func Between(specs []meshv1alpha1.Gate, bothServe bool) []Gate {
	gates := Running()
	if bothServe {
		gates = append(gates, comparisons(specs)...)
	}
	return rehearsed(gates, specs)
}

// comparisons are people's own gates that hold the new revision against the old one.
func comparisons(specs []meshv1alpha1.Gate) []Gate {
	var gates []Gate
	for i := range specs {
		if p := specs[i].Prometheus; p != nil && p.Compare != "" {
			gates = append(gates, newMeasurement(specs[i].Name, p))
		}
	}
	return gates
}

func rehearsed(gates []Gate, specs []meshv1alpha1.Gate) []Gate {
	for i, g := range gates {
		if slices.ContainsFunc(specs, func(s meshv1alpha1.Gate) bool { return s.Name == g.Name() && s.DryRun }) {
			gates[i] = rehearsal{g}
		}
	}
	return gates
}

// rehearsal is a gate from whose answers nothing follows.
type rehearsal struct{ Gate }

func (r rehearsal) Ask(ctx context.Context, m Member) Answer {
	a := r.Gate.Ask(ctx, m)
	a.DryRun = true
	return a
}
