package workloads

import (
	"maps"
	"slices"
)

// Forecast is what moving the workloads of a member will mean. Its lists are sorted.
type Forecast struct {
	// Restarts are the workloads that will be restarted, Pods the number of their pods.
	Restarts []string
	Pods     int
	// Budgets are the PodDisruptionBudgets of those workloads that allow no disruption now.
	Budgets []string
	// Fragile are those of the workloads that lose requests at any restart; each says why.
	Fragile []string
}

// Foresee says what a request would do to a member, and does nothing.
func Foresee(w World, r Request) Forecast {
	var out Forecast
	budgets := map[string]bool{}
	for _, c := range candidates(w, r) {
		if c.isGone() || c.reasonToSkip() != "" || !c.differs(true) {
			continue
		}
		out.Restarts = append(out.Restarts, c.entry())
		out.Pods += len(c.pods)
		if reasons := c.fragile(); len(reasons) > 0 {
			out.Fragile = append(out.Fragile, c.entry(reasons...))
		}
		for _, b := range c.budgets(w.Budgets) {
			if b.Allowed == 0 {
				budgets[b.Namespace+"/"+b.Name] = true
			}
		}
	}
	slices.Sort(out.Restarts)
	slices.Sort(out.Fragile)
	out.Budgets = slices.Sorted(maps.Keys(budgets))
	return out
}
