package gate

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// Remember adds to answers the former measurements of gates that were not asked this time.
func Remember(answers, previous []meshv1alpha1.GateResult) []meshv1alpha1.GateResult {
	all := slices.Clone(answers)
	for i := range previous {
		isNew := func(r meshv1alpha1.GateResult) bool { return r.Name == previous[i].Name }
		if previous[i].Measurements != nil && !slices.ContainsFunc(answers, isNew) {
			all = append(all, previous[i])
		}
	}
	slices.SortFunc(all, byName)
	return all
}

// StartOver lets measurements begin again because more workloads are about to move. What was bad counts on. Comparisons
// stand: they are about the same revisions, and will not find both at work again.
func StartOver(results []meshv1alpha1.GateResult, specs []meshv1alpha1.Gate, now time.Time) []meshv1alpha1.GateResult {
	out := slices.Clone(results)
	for i := range out {
		compares := slices.ContainsFunc(specs, func(s meshv1alpha1.Gate) bool {
			return s.Name == out[i].Name && s.Prometheus != nil && s.Prometheus.Compare != ""
		})
		if out[i].Measurements == nil || compares {
			continue
		}
		out[i] = meshv1alpha1.GateResult{
			Name: out[i].Name, DryRun: out[i].DryRun, Verdict: meshv1alpha1.VerdictPending, Message: "more workloads are being moved",
			Measurements: &meshv1alpha1.GateMeasurements{Bad: out[i].Measurements.Bad}, Since: metav1.NewTime(now.Truncate(time.Second)),
		}
	}
	return out
}
