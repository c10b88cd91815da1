package workloads

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

const (
	// pause comes before a workload is restarted once more for the same revision.
	pause = 2 * time.Minute
	// inFlight is how long a restart for another revision than the wanted one takes its place in the batch.
	inFlight = 10 * time.Minute
)

// Plan says how far the workloads are, and which to restart now.
func Plan(w World, r Request) (Report, []Workload) {
	p := planner{request: r, budgets: w.Budgets, taken: map[string]Reference{}}
	var due []candidate
	for _, c := range candidates(w, r) {
		moved := p.Moved
		if p.sort(&c) {
			due = append(due, c)
		}
		p.note(&c, p.Moved > moved)
	}
	if names := lost(w, r); len(names) > 0 {
		p.Skipped = append(p.Skipped, istio.LostPods(mesh.Capped(names)))
	}
	batch := append(p.evictMore(), p.batch(due)...)
	for _, list := range [][]string{p.Restarting, p.Waiting, p.Blocked, p.Skipped, p.Fragile} {
		slices.Sort(list)
	}
	p.Done = p.Moved == p.Total && p.Failed == "" && p.leaving == 0
	return p.Report, batch
}

type planner struct {
	Report
	request Request
	budgets []Budget
	// taken are the PodDisruptionBudgets that a workload that restarts uses up.
	taken map[string]Reference
	// busy counts the places that are taken.
	busy int
	first
	// evicting are workloads of which more pods can be evicted.
	evicting []candidate
	// leaving counts workloads that were deleted and have pods with proxies of another revision still.
	leaving int
}

// sort puts a candidate into the report. True: it should be restarted.
func (p *planner) sort(c *candidate) bool {
	if c.isGone() {
		if c.differs(true) {
			p.leaving++
			p.Waiting = append(p.Waiting, c.entry("was deleted, its pods have not gone yet"))
		}
		return false
	}
	if reason := c.reasonToSkip(); reason != "" {
		p.Skipped = append(p.Skipped, c.entry(reason))
		return false
	}
	p.Total++
	p.MovedPods += c.movedPods()
	if reasons := c.fragile(); len(reasons) > 0 {
		p.Fragile = append(p.Fragile, c.entry(reasons...))
	}
	switch {
	case c.isGateway():
		p.gateway(c)
		return false
	case !c.known:
		return p.sortUnknown(c)
	case c.evicts:
		return p.sortEvicted(c)
	}
	lost := c.wasRestarted() && c.failure() != ""
	switch {
	case c.isRestarting() || lost:
		return p.restarting(c)
	case !c.differs(true):
		p.Moved++
		return false
	}
	if !p.request.Back && !c.workload.IsComplete() && c.workload.restartedSince(inFlight, p.request.Now) {
		p.occupy(c)
	}
	return true
}

// restarting reports a workload that was restarted. True: that was in vain and it is to be done again.
func (p *planner) restarting(c *candidate) bool {
	if reason := c.failure(); reason != "" && p.Failed == "" {
		p.Failed = c.entry(reason)
	}
	inVain := c.workload.IsComplete() && c.differs(false)
	switch {
	case inVain && p.Failed == "" && !c.workload.restartedSince(pause, p.request.Now):
		return true
	case inVain:
		p.Restarting = append(p.Restarting, c.entry("rolled out, but has proxies of another revision still"))
	default:
		p.Restarting = append(p.Restarting, c.entry())
	}
	if reason := c.obstacle(); reason != "" {
		p.Blocked = append(p.Blocked, c.entry(reason))
	}
	p.occupy(c)
	return false
}

// occupy takes a place in the batch, and the disruptions that its budgets allow.
func (p *planner) occupy(c *candidate) {
	p.busy++
	for _, b := range c.budgets(p.budgets) {
		p.taken[b.Namespace+"/"+b.Name] = c.ref
	}
}

// batch chooses what to restart now.
func (p *planner) batch(due []candidate) []Workload {
	var batch []Workload
	slices.SortStableFunc(due, func(a, b candidate) int { return a.rank() - b.rank() })
	for i := range due {
		c := &due[i]
		reason, waits := c.unready(p.request.Back)
		if reason == "" && !c.differs(false) {
			reason, waits = "its old pods have not gone yet", true
		}
		if reason == "" && p.isProtected(c) {
			reason, waits = p.forbidden(c)
		}
		held := p.held(c)
		switch {
		case held != "":
			p.Waiting = append(p.Waiting, c.entry(held))
		case reason != "" && !waits:
			p.Blocked = append(p.Blocked, c.entry(reason))
		case reason != "":
			p.Waiting = append(p.Waiting, c.entry(reason))
		case p.request.Hold != "":
			p.Waiting = append(p.Waiting, c.entry(p.request.Hold))
		case p.Failed != "" || p.busy >= p.places():
			p.Waiting = append(p.Waiting, c.entry())
		case c.evicts && len(c.victims(p.budgets, p.request.Back)) == 0:
			p.Waiting = append(p.Waiting, c.entry("not all of its pods serve"))
		default:
			batch = append(batch, c.move(p))
			p.Restarting = append(p.Restarting, c.entry())
			p.occupy(c)
		}
	}
	return batch
}

// isProtected says whether the PodDisruptionBudgets of a workload count. In a rollback those of one that is not available do not, and none
// if the revision has failed. The API server applies them to every eviction.
func (p *planner) isProtected(c *candidate) bool {
	return c.evicts || !p.request.Back || !p.request.HasFailed && c.workload.IsComplete()
}

// forbidden asks the PodDisruptionBudgets. A budget has room for one workload at a time.
func (p *planner) forbidden(c *candidate) (reason string, waits bool) {
	if c.evicts && c.hasTwoBudgets(p.budgets) {
		return "has pods with more than one PodDisruptionBudget, which cannot be evicted", false
	}
	for _, b := range c.budgets(p.budgets) {
		if other, found := p.taken[b.Namespace+"/"+b.Name]; found && other != c.ref {
			return fmt.Sprintf("shares PodDisruptionBudget %s with %s", b.Name, other), true
		}
		if b.Allowed == 0 {
			return fmt.Sprintf("PodDisruptionBudget %s forbids disruption", b.Name), false
		}
	}
	return "", false
}

// defaultMaxUnavailable is the default of Restart, for work orders that were written before the API had it.
var defaultMaxUnavailable = intstr.FromString("10%")

// places is how many workloads may restart at the same time.
func (p *planner) places() int {
	most := p.request.MaxUnavailable
	if most == nil {
		most = &defaultMaxUnavailable
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(most, p.Total, false)
	if err != nil {
		// The API server lets nothing else through; the careful answer is the smallest.
		return 1
	}
	return max(n, 1)
}
