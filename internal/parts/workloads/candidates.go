package workloads

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/member"
)

// candidate is a workload with proxies, together with its pods.
type candidate struct {
	ref  Reference
	pods []Pod
	// known says that workload was read; it is empty for kinds that the operator does not restart.
	known    bool
	workload Workload
	// consents says that its pods may be evicted whatever the method, by an annotation; hasBudget that a PodDisruptionBudget selects one.
	consents, hasBudget bool
	// evicts says that its pods are evicted, not its template restarted.
	evicts bool
	// isFirst says that its namespace goes before others.
	isFirst bool
	// wanted revision, or why it is skipped.
	selection
}

// candidates finds the workloads with proxies, and those that were restarted or are gateways and have no pods right now,
// in the order of restarts.
func candidates(w World, r Request) []candidate {
	pods := map[Reference][]Pod{}
	for _, p := range w.Pods {
		if istio.IsOverdue(p.Leaves, r.Now) {
			continue
		}
		ref := root(p, w.ReplicaSets)
		pods[ref] = append(pods[ref], p)
	}
	for ref, o := range w.Workloads {
		if _, found := pods[ref]; !found && (o.RestartedFor != "" || o.EvictedFor != "" || o.Gateway != "") {
			pods[ref] = nil
		}
	}
	var out []candidate
	for ref, of := range pods {
		c := candidate{ref: ref, pods: of}
		if c.workload, c.known = w.Workloads[ref]; !c.known {
			c.workload.Reference = ref
		}
		if !c.isOurs() {
			continue
		}
		c.consents, c.hasBudget = c.hasConsent(), len(c.budgets(w.Budgets)) > 0
		c.isFirst = r.First != nil && !r.Back && r.First.Matches(labels.Set(w.Namespaces[ref.Namespace]))
		c.evicts = (r.Method == meshv1alpha1.RestartMethodEvict || c.consents) && (!r.Back || c.workload.Held != "" || !c.known) && !c.isGateway()
		slices.SortFunc(c.pods, func(a, b Pod) int { return cmp.Compare(a.Name, b.Name) })
		c.selection = c.choose(w, r)
		if c.isRelevant() {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b candidate) int {
		return cmp.Or(order01(b.isFirst, a.isFirst), a.ref.Compare(b.ref))
	})
	return out
}

// lost are the pods that do not count, of the revisions that workloads leave.
func lost(w World, r Request) []string {
	var names []string
	for _, p := range w.Pods {
		isLeft := slices.Contains(r.Revisions, p.Revision) && !slices.Contains(slices.Collect(maps.Values(r.Tags)), p.Revision)
		if p.HasProxy && isLeft && istio.IsOverdue(p.Leaves, r.Now) {
			names = append(names, istio.LostName(p.Namespace, p.Name, p.Node))
		}
	}
	return names
}

// choose finds the revision that new pods would get.
func (c *candidate) choose(w World, r Request) selection {
	namespace := w.Namespaces[c.ref.Namespace]
	switch {
	case c.isGateway():
		gateway := w.Gateways[types.NamespacedName{Namespace: c.ref.Namespace, Name: c.workload.Gateway}]
		return chooseGateway(gateway, namespace, r)
	case c.known:
		return choose(namespace, c.workload.Injection, r)
	}
	return choose(namespace, c.pods[0].Injection, r)
}

// root is what makes a pod: as far up as the operator looks.
func root(p Pod, replicaSets map[types.NamespacedName]Reference) Reference {
	switch p.Owner.Kind {
	case "":
		return Reference{Kind: member.KindPod, Namespace: p.Namespace, Name: p.Name}
	case member.KindReplicaSet:
		above := replicaSets[types.NamespacedName{Namespace: p.Namespace, Name: p.Owner.Name}]
		if above.Kind != "" {
			return above
		}
	}
	return p.Owner
}

// isOurs says whether moving the workload is this package's business.
func (c *candidate) isOurs() bool {
	return !c.known || !c.workload.Own && c.workload.Desired > 0
}

// isRelevant leaves out what has no proxy: workloads outside of the mesh, and pods of other kinds that need nothing.
func (c *candidate) isRelevant() bool {
	hasProxy := slices.ContainsFunc(c.pods, func(p Pod) bool { return p.HasProxy })
	if !c.known {
		return hasProxy && (c.skip != "" || c.consents || c.differs(true))
	}
	restarted := c.skip == "" && c.wasRestarted()
	return hasProxy || c.skip == optedOut || restarted || c.isGateway()
}

// differs says whether a pod has a proxy of another revision than wanted. Pods that are being deleted count if asked.
func (c *candidate) differs(leaving bool) bool {
	return slices.ContainsFunc(c.pods, func(p Pod) bool {
		return p.HasProxy && p.Revision != c.revision && (leaving || p.Leaves.IsZero())
	})
}

// movedPods counts the pods that serve with a proxy of the wanted revision.
func (c *candidate) movedPods() (n int) {
	for _, p := range c.pods {
		if p.HasProxy && p.Revision == c.revision && p.Ready && p.Leaves.IsZero() {
			n++
		}
	}
	return n
}

// reasonToSkip says why the operator never restarts it, empty if it may.
func (c *candidate) reasonToSkip() string {
	switch {
	case c.skip != "":
		return c.skip
	case c.workload.ByHand:
		return "its template contains the proxy: it was injected by hand"
	case c.known:
		return ""
	case c.ref.Kind == member.KindPod:
		return "is a bare pod: nothing would make it again"
	case c.consents && !c.hasBudget:
		return "may be evicted by its annotation, but no PodDisruptionBudget selects its pods: create one, which says how many may be missing"
	case c.consents:
		return ""
	case c.ref.Kind == member.KindJob:
		return "is a Job: a restart would lose its work"
	case c.ref.Kind == member.KindReplicaSet:
		return "belongs to no Deployment: " + hintOfUnknown
	}
	return "the operator does not know how to restart this kind: " + hintOfUnknown
}

// isGone says that a workload of a kind that the operator restarts was deleted after its pods were read.
func (c *candidate) isGone() bool {
	return !c.known && slices.Contains([]string{member.KindDeployment, member.KindStatefulSet, member.KindDaemonSet}, c.ref.Kind)
}

// wasRestarted says that the last restart or eviction was for the wanted revision.
func (c *candidate) wasRestarted() bool {
	revision, _ := c.workload.lastMove()
	return revision == c.revision
}

// isRestarting says whether a restart for the wanted revision has not ended.
func (c *candidate) isRestarting() bool {
	return c.wasRestarted() && (!c.workload.IsComplete() || c.differs(true))
}

// failure says why a restarted workload does not come back, empty if there is hope.
func (c *candidate) failure() string {
	if c.workload.IsComplete() {
		// An update replaces every pod; evictions leave those that have no proxy.
		_, at := c.workload.lastMove()
		bare := func(p Pod) bool { return !p.HasProxy && p.Leaves.IsZero() && (!c.evicts || !p.Created.Before(at)) }
		if i := slices.IndexFunc(c.pods, bare); i >= 0 {
			return "new pod " + c.pods[i].Name + " has no proxy"
		}
		return ""
	}
	for _, p := range c.pods {
		if p.Crash != "" && p.Revision == c.revision && p.Leaves.IsZero() {
			return "new pod " + p.Name + ": " + p.Crash
		}
	}
	if c.workload.Settled && c.workload.Stuck != "" {
		return c.workload.Stuck
	}
	return ""
}

// obstacle says what keeps a restart that is under way from going on.
func (c *candidate) obstacle() string {
	if c.workload.Obstacle != "" {
		return c.workload.Obstacle
	}
	if c.ref.Kind == member.KindStatefulSet && !c.evicts {
		for _, p := range c.pods {
			if p.Crash != "" && p.Revision != c.revision && p.Leaves.IsZero() {
				return "the StatefulSet waits for pod " + p.Name + ", which must be deleted: " + p.Crash
			}
		}
	}
	if c.evicts {
		return ""
	}
	return c.workload.Held
}

// unready says why a workload must not be restarted now, and whether that ends by itself. One that is not available
// before its restart would look like a victim of the new revision.
func (c *candidate) unready(back bool) (reason string, waits bool) {
	w := &c.workload
	switch {
	case !c.known:
		return "", false
	case w.Held != "" && !c.evicts:
		return w.Held + ": " + hintOfHeld, false
	case w.Held != "" && w.Settled && w.Updated < w.Desired:
		return w.Held + ", and eviction would roll out a change that is held back", false
	case back, w.IsComplete():
		return "", false
	case w.Stuck != "":
		return "does not roll out, for another reason: " + w.Stuck, false
	case !w.Settled || w.Updated < w.Desired || w.Existing > w.Desired:
		return "is being rolled out", true
	case c.evicts && c.hasNewPods():
		return "its new pods are not available yet", true
	}
	return fmt.Sprintf("%d of %d replicas are available before the restart", w.Available, w.Desired), false
}

// budgets are the PodDisruptionBudgets that select its pods.
func (c *candidate) budgets(all []Budget) []Budget {
	return slices.DeleteFunc(slices.Clone(all), func(b Budget) bool {
		return b.Namespace != c.ref.Namespace || !slices.ContainsFunc(c.pods, func(p Pod) bool { return b.Selector.Matches(labels.Set(p.Labels)) })
	})
}

// entry is a line of the report.
func (c *candidate) entry(reasons ...string) string {
	reasons = slices.DeleteFunc(reasons, func(s string) bool { return s == "" })
	if len(reasons) == 0 {
		return c.ref.String()
	}
	return c.ref.String() + ": " + strings.Join(reasons, ", ")
}
