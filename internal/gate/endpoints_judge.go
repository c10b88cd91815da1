package gate

import (
	"fmt"
	"slices"
	"strings"
)

// judgeEndpoints says what follows from the differences that are left. Fail is only for what the new revision alone has
// wrong.
func judgeEndpoints(m *Member, c comparison) Answer {
	switch {
	case c.pods == 0:
		return noIstiod(m.To)
	case m.From != "" && c.formerPods == 0:
		return inconclusive("there is nothing to compare with: no istiod pod of revision %s is ready", m.From)
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
	case missing.total+stale.total > 0 && c.isFresh:
		return inconclusive("still %s", found(missing, stale))
	case missing.total+stale.total > 0:
		return fail("%s", found(missing, stale)).measured(float64(missing.total+stale.total), noDifference)
	case len(doubts) > 0:
		return inconclusive("%s", strings.Join(doubts, "; "))
	}
	return pass("%s", c.summary(m)).measured(0, noDifference)
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

func (t *tally) names() string { return some(keys(t.by)) }

func found(missing, stale tally) string {
	var parts []string
	if missing.total > 0 {
		parts = append(parts, fmt.Sprintf("missing %s: %s", count(missing.total, "endpoint"), missing.names()))
	}
	if stale.total > 0 {
		parts = append(parts, fmt.Sprintf("knowing %s: %s", count(stale.total, "stale endpoint"), stale.names()))
	}
	return strings.Join(parts, "; ")
}

// doubts are the reasons why nobody can tell.
func (c *comparison) doubts(m *Member, shared, down tally) []string {
	var doubts []string
	if down.total > 0 && !m.IgnoreDown {
		doubts = append(doubts, fmt.Sprintf("endpoints are missing of %s, which cannot be reached", down.names()))
	}
	if shared.total > 0 {
		doubts = append(doubts, fmt.Sprintf("revision %s differs in the same way from what the peers themselves have: %s: %s",
			m.From, count(shared.total, "endpoint"), shared.names()))
	}
	if len(c.silent) > 0 {
		var silent []string
		for peer, why := range c.silent {
			silent = append(silent, peer+" ("+why+")")
		}
		doubts = append(doubts, "it is not known what these peers themselves have: "+some(silent))
	}
	var unknown []string
	for _, cluster := range append([]string{m.Cluster}, m.Peers...) {
		if c.known[cluster] == 0 && !(m.IgnoreDown && slices.Contains(m.Down, cluster)) {
			unknown = append(unknown, cluster)
		}
	}
	if len(unknown) > 0 {
		// Every cluster has at least the endpoint of its API server.
		doubts = append(doubts, "no endpoint is known of "+some(unknown))
	}
	return doubts
}

// summary says what was compared.
func (c *comparison) summary(m *Member) string {
	with := "each other"
	if m.From != "" {
		with = "revision " + m.From
	}
	if len(m.Peers) > 0 {
		with += fmt.Sprintf(" and with the peers' own word (%d of %d)", len(c.heard), len(m.Peers))
	}
	seen := make([]string, 0, len(m.Peers))
	for _, peer := range slices.Sorted(slices.Values(m.Peers)) {
		seen = append(seen, fmt.Sprintf("%s %d", peer, c.known[peer]))
	}
	seen = append([]string{fmt.Sprintf("%s %d", m.Cluster, c.known[m.Cluster])}, seen...)
	said := fmt.Sprintf("no address is missing or stale in %s, compared with %s; addresses by cluster: %s",
		count(c.pods, "istiod pod"), with, shorten(strings.Join(seen, ", "), 200))
	if len(c.leftOut) > 0 {
		var names []string
		for s := range c.leftOut {
			names = append(names, s.host+" of "+s.cluster)
		}
		said += fmt.Sprintf("; left out %s that one side does not read at all: %s", count(len(names), "service"), some(names))
	}
	return said
}

func keys[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	return out
}
