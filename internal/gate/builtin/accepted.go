package builtin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// configAccepted passes when no istiod pod has counted a rejection, an error while sending, or an internal error since
// it started.
func configAccepted(ctx context.Context, m *gate.Subject) (gate.Answer, error) {
	answers, err := askAll(ctx, m, m.To, istiod.Metrics)
	if err != nil {
		return gate.Answer{}, err
	}
	return judgeMetrics(m, answers), nil
}

func judgeMetrics(m *gate.Subject, answers map[string]map[string][]istiod.Sample) gate.Answer {
	if len(answers) == 0 {
		return gate.NoIstiod(m.To)
	}
	var withoutMetrics, nodes []string
	counts := map[string]float64{}
	for pod, metrics := range answers {
		if len(metrics["istio_build"]) == 0 && len(metrics["pilot_xds"]) == 0 {
			// Counters that do not exist mean zero only where istiod's metrics are.
			withoutMetrics = append(withoutMetrics, pod)
		}
		for _, s := range metrics["pilot_total_xds_rejects"] {
			counts["rejected "+s.Labels["type"]] += s.Value
		}
		for _, s := range metrics["pilot_xds_pushes"] {
			if kind, isError := strings.CutSuffix(s.Labels["type"], "_senderr"); isError {
				counts["unsent "+kind] += s.Value
			}
		}
		for _, s := range metrics["pilot_total_xds_internal_errors"] {
			counts["internal errors"] += s.Value
		}
		nodes = append(nodes, rejecting(metrics)...)
	}
	var bad []string
	total := 0.0
	for what, count := range counts {
		if count > 0 {
			bad = append(bad, fmt.Sprintf("%s: %.0f", what, count))
			total += count
		}
	}
	slices.Sort(bad)
	slices.Sort(nodes)
	switch {
	case len(bad) > 0 && len(nodes) > 0:
		return gate.Fail("%s; rejected by %s", strings.Join(bad, ", "), mesh.Capped(slices.Compact(nodes))).Measured(total, gate.NoneAllowed)
	case len(bad) > 0:
		return gate.Fail("%s", strings.Join(bad, ", ")).Measured(total, gate.NoneAllowed)
	case len(withoutMetrics) > 0:
		return gate.Inconclusive("istiod pods without metrics of istiod: %s", mesh.Capped(withoutMetrics))
	}
	return gate.Pass("no rejections in %s", gate.Count(len(answers), "istiod pod")).Measured(0, gate.NoneAllowed)
}

// rejecting names the proxies that have rejected something.
func rejecting(metrics map[string][]istiod.Sample) []string {
	var nodes []string
	for _, kind := range []string{"cds", "eds", "lds", "rds"} {
		for _, s := range metrics["pilot_xds_"+kind+"_reject"] {
			if s.Value > 0 && s.Labels["node"] != "" {
				nodes = append(nodes, s.Labels["node"])
			}
		}
	}
	return nodes
}
