package workloads

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
)

// methodAnnotation with the value Evict, of a workload or of its pod template, lets pods be evicted whatever the method of the mesh. Owners of
// kinds that the operator does not know hand it to their pods.
const methodAnnotation = "mesh.meshfleet.io/restart-method"

// The cures where only an eviction moves a workload. A template that is annotated would be a change that is held back.
const (
	hintOfHeld    = "annotate it, not its pod template, with " + methodAnnotation + "=Evict to have its pods evicted"
	hintOfUnknown = "restart its pods, or annotate them or their template with " + methodAnnotation + "=Evict to have them evicted"
)

func isConsent(annotations map[string]string) bool {
	return annotations[methodAnnotation] == string(meshv1alpha1.RestartMethodEvict)
}

// hasConsent says that its pods may be evicted whatever the method. Where the owner is not known, each pod with a proxy must say so. A bare
// pod is never evicted.
func (c *candidate) hasConsent() bool {
	if c.known {
		return c.workload.Consents
	}
	return c.ref.Kind != member.KindPod && !slices.ContainsFunc(c.pods, func(p Pod) bool { return p.HasProxy && !p.Consents })
}

// sortEvicted puts a candidate whose pods are evicted into the report. True: it may be begun, or gone on with after all
// that was evicted is back.
func (p *planner) sortEvicted(c *candidate) bool {
	if c.wasRestarted() {
		if reason := c.failure(); reason != "" && p.Failed == "" {
			p.Failed = c.entry(reason)
		}
		if !c.workload.IsComplete() || c.isLeaving() || c.serving() < c.workload.Desired {
			p.Restarting = append(p.Restarting, c.entry())
			if reason := c.obstacle(); reason != "" {
				p.Blocked = append(p.Blocked, c.entry(reason))
			}
			p.occupy(c)
			p.evicting = append(p.evicting, *c)
			return false
		}
	}
	if !c.differs(true) {
		p.Moved++
		return false
	}
	return true
}

// sortUnknown puts a candidate of a kind that the operator does not know into the report. One of its pods is evicted at a time, as
// PodDisruptionBudgets permit; how many there should be, only those know. True: the next one may be evicted.
func (p *planner) sortUnknown(c *candidate) bool {
	if !c.differs(true) {
		p.Moved++
		return false
	}
	for _, pod := range c.pods {
		isNew := pod.HasProxy && pod.Revision == c.revision
		switch {
		case isNew && pod.Crash != "":
			p.Blocked = append(p.Blocked, c.entry("new pod "+pod.Name+": "+pod.Crash))
		case isNew && !pod.Ready, !pod.Leaves.IsZero():
			p.Restarting = append(p.Restarting, c.entry("pod "+pod.Name+" is being replaced"))
		default:
			continue
		}
		p.occupy(c)
		return false
	}
	return true
}

// evictMore goes on with workloads that may lack more pods than they do.
func (p *planner) evictMore() []Workload {
	var batch []Workload
	if p.Failed != "" || p.request.Hold != "" {
		return nil
	}
	for i := range p.evicting {
		c := &p.evicting[i]
		if w := c.move(p); len(w.Evict) > 0 && !c.hasTwoBudgets(p.budgets) {
			batch = append(batch, w)
		}
	}
	return batch
}

// rank puts workloads of the first namespaces before the others, and those whose evictions have begun before what has
// not begun.
func (c *candidate) rank() int {
	rank := 0
	if !c.isFirst {
		rank += 2
	}
	if !c.evicts || !c.wasRestarted() {
		rank++
	}
	return rank
}

// move is what to do with the workload now.
func (c *candidate) move(p *planner) Workload {
	w := c.workload
	w.Target = c.revision
	if c.evicts {
		w.Evict = c.victims(p.budgets, p.request.Back)
	}
	return w
}

// victims are the pods to evict now: those that serve nobody, and as many others as may be missing at the same time. They
// go from the last to the first, as in updates of a StatefulSet.
func (c *candidate) victims(budgets []Budget, back bool) []Pod {
	room := c.room()
	for _, b := range c.budgets(budgets) {
		room = min(room, b.Allowed)
	}
	pods := slices.DeleteFunc(slices.Clone(c.pods), func(p Pod) bool {
		return !p.HasProxy || p.Revision == c.revision || !p.Leaves.IsZero()
	})
	// A pod that is not ready for a moment may serve again before another one does.
	useless := func(p Pod) bool { return p.Crash != "" || back && !p.Ready }
	slices.SortFunc(pods, func(a, b Pod) int {
		return cmp.Or(-order01(useless(a), useless(b)), cmp.Compare(len(b.Name), len(a.Name)), cmp.Compare(b.Name, a.Name))
	})
	var victims []Pod
	for _, p := range pods {
		if !useless(p) {
			if room <= 0 {
				break
			}
			room--
		}
		victims = append(victims, p)
	}
	return victims
}

// room is how many pods that serve may go now, whatever the PodDisruptionBudgets allow.
func (c *candidate) room() int32 {
	if c.known {
		// Pods are read anew each time; what their controller counts may be a moment old.
		return c.workload.Evictable - max(c.workload.Desired-min(c.serving(), c.workload.Available), 0)
	}
	if int(c.serving()) == len(c.pods) {
		return 1
	}
	return 0
}

// serving counts the pods that serve.
func (c *candidate) serving() (n int32) {
	for _, p := range c.pods {
		if p.Ready && p.Leaves.IsZero() {
			n++
		}
	}
	return n
}

// order01 compares no with yes.
func order01(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// isLeaving says that a pod with a proxy of another revision is being deleted.
func (c *candidate) isLeaving() bool {
	return slices.ContainsFunc(c.pods, func(p Pod) bool {
		return p.HasProxy && p.Revision != c.revision && !p.Leaves.IsZero()
	})
}

// hasNewPods says that some pods have the wanted proxy already.
func (c *candidate) hasNewPods() bool {
	return slices.ContainsFunc(c.pods, func(p Pod) bool { return p.HasProxy && p.Revision == c.revision })
}

// hasTwoBudgets says that a pod has more than one PodDisruptionBudget: the API server evicts none of these.
func (c *candidate) hasTwoBudgets(budgets []Budget) bool {
	return slices.ContainsFunc(c.pods, func(p Pod) bool {
		n := 0
		for _, b := range budgets {
			if b.Namespace == c.ref.Namespace && b.Selector.Matches(labels.Set(p.Labels)) {
				n++
			}
		}
		return n > 1
	})
}
