package endpoints

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// Judge makes an answer from the differences that are left. It fails only what the new revision alone has wrong.
func Judge(m *gate.Subject, c Comparison) gate.Answer {
	switch {
	case len(c.pods) == 0:
		return gate.NoIstiod(m.To)
	case m.From != "" && len(c.formerPods) == 0:
		return gate.Inconclusive("there is nothing to compare with: no istiod pod of revision %s is ready", m.From)
	}
	var missing, stale, shared, down tally
	for e, d := range c.differences {
		switch {
		case slices.Contains(m.Down, e.cluster):
			down.add(e.cluster)
		case d.isShared:
			shared.add(e.String())
		case e.isStale:
			stale.add(e.String())
		default:
			missing.add(e.String())
		}
	}
	doubts := c.doubts(m, shared, down)
	switch {
	case missing.total+stale.total > 0 && c.IsFresh:
		return gate.Inconclusive("still %s", found(missing, stale))
	case missing.total+stale.total > 0:
		return gate.Fail("%s", found(missing, stale)).Measured(float64(missing.total+stale.total), gate.NoneAllowed)
	case len(doubts) > 0:
		return gate.Inconclusive("%s", strings.Join(doubts, "; "))
	}
	return gate.Pass("%s", c.summary(m)).Measured(0, gate.NoneAllowed)
}

// String names what an endpoint belongs to: there are many addresses, and they mean little to people.
func (e endpoint) String() string { return fmt.Sprintf("%s in %s (%s)", e.host, e.cluster, e.pod) }

// tally counts endpoints by what they belong to.
type tally struct {
	total int
	by    map[string]bool
}

func (t *tally) add(what string) {
	if t.by == nil {
		t.by = map[string]bool{}
	}
	t.total++
	t.by[what] = true
}

func (t *tally) names() string { return mesh.Capped(slices.Collect(maps.Keys(t.by))) }

func found(missing, stale tally) string {
	var parts []string
	if missing.total > 0 {
		parts = append(parts, fmt.Sprintf("missing %s: %s", gate.Count(missing.total, "endpoint"), missing.names()))
	}
	if stale.total > 0 {
		parts = append(parts, fmt.Sprintf("knowing %s: %s", gate.Count(stale.total, "stale endpoint"), stale.names()))
	}
	return strings.Join(parts, "; ")
}

// doubts are the reasons for an inconclusive answer.
func (c *Comparison) doubts(m *gate.Subject, shared, down tally) []string {
	var doubts []string
	if down.total > 0 && !m.IgnoreDown {
		doubts = append(doubts, fmt.Sprintf("endpoints are missing of %s, which cannot be reached", down.names()))
	}
	if shared.total > 0 {
		doubts = append(doubts, fmt.Sprintf("revision %s differs in the same way from the peers' own reports: %s: %s",
			m.From, gate.Count(shared.total, "endpoint"), shared.names()))
	}
	if len(c.NoAnswer) > 0 {
		var noAnswer []string
		for peer, why := range c.NoAnswer {
			noAnswer = append(noAnswer, peer+" ("+why+")")
		}
		doubts = append(doubts, "no report of their own endpoints from "+mesh.Capped(noAnswer))
	}
	var unknown []string
	for _, cluster := range append([]string{m.Cluster}, m.Peers...) {
		if c.known[cluster] == 0 && !(m.IgnoreDown && slices.Contains(m.Down, cluster)) {
			unknown = append(unknown, cluster)
		}
	}
	if len(unknown) > 0 {
		// Every cluster has at least the endpoint of its API server.
		doubts = append(doubts, "no endpoint is known of "+mesh.Capped(unknown))
	}
	return doubts
}

// summary lists what was compared.
func (c *Comparison) summary(m *gate.Subject) string {
	with := "each other"
	if m.From != "" {
		with = "revision " + m.From
	}
	if len(m.Peers) > 0 {
		with += fmt.Sprintf(" and with the peers' own reports (%d of %d)", len(c.reported), len(m.Peers))
	}
	seen := make([]string, 0, len(m.Peers))
	for _, peer := range slices.Sorted(slices.Values(m.Peers)) {
		seen = append(seen, fmt.Sprintf("%s %d", peer, c.known[peer]))
	}
	seen = append([]string{fmt.Sprintf("%s %d", m.Cluster, c.known[m.Cluster])}, seen...)
	message := fmt.Sprintf("no address is missing or stale in %s, compared with %s; addresses by cluster: %s",
		gate.Count(len(c.pods), "istiod pod"), with, mesh.Shorten(strings.Join(seen, ", "), 200))
	if len(c.leftOut) > 0 {
		var names []string
		for s := range c.leftOut {
			names = append(names, s.host+" of "+s.cluster)
		}
		message += fmt.Sprintf("; left out %s that one side does not read at all: %s", gate.Count(len(names), "service"), mesh.Capped(names))
	}
	return message
}
