package gate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/meshfleet/meshfleet/internal/istio/istiod"
)

// configAccepted passes when no istiod pod has counted a rejection, an error while sending, or an internal error since
// it started.
func configAccepted(ctx context.Context, m *Member) (Answer, error) {
	answers, err := askAll(ctx, m, m.To, istiod.Metrics)
	if err != nil {
		return Answer{}, err
	}
	return judgeMetrics(m, answers), nil
}

func judgeMetrics(m *Member, answers map[string]map[string][]istiod.Sample) Answer {
	if len(answers) == 0 {
		return noIstiod(m.To)
	}
	var silent, nodes []string
	counts := map[string]float64{}
	for pod, metrics := range answers {
		if len(metrics["istio_build"]) == 0 && len(metrics["pilot_xds"]) == 0 {
			// Counters that do not exist mean zero only where istiod's metrics are.
			silent = append(silent, pod)
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
		return fail("%s; rejected by %s", strings.Join(bad, ", "), some(slices.Compact(nodes))).measured(total, "<= 0")
	case len(bad) > 0:
		return fail("%s", strings.Join(bad, ", ")).measured(total, "<= 0")
	case len(silent) > 0:
		return inconclusive("istiod pods without metrics of istiod: %s", some(silent))
	}
	return pass("nothing was rejected, says %s", count(len(answers), "istiod pod")).measured(0, "<= 0")
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
