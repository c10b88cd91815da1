package gate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meshfleet/meshfleet/internal/xds"
)

// endpointsComplete passes when every istiod pod knows, for each service and each cluster, every address that the
// former revision knows. Endpoints come and go and reach every istiod at its own pace, so only what is missing in two
// looks counts.
func endpointsComplete(ctx context.Context, m *Member) (Answer, error) {
	first, err := m.compareEndpoints(ctx)
	if err != nil {
		return Answer{}, err
	}
	if len(first.missing) == 0 {
		return judgeEndpoints(m, first, nil), nil
	}
	if err := pause(ctx, time.Second); err != nil {
		return Answer{}, err
	}
	second, err := m.compareEndpoints(ctx)
	if err != nil {
		return Answer{}, err
	}
	return judgeEndpoints(m, second, first.missing), nil
}

// endpoint is an address of a service in a cluster that an istiod pod lacks.
type endpoint struct {
	pod, host, cluster, address string
}

// comparison is one look at the endpoints of both revisions.
type comparison struct {
	pods, formerPods int
	// isFresh says that an istiod pod of the new revision has just started, and may still be reading peers.
	isFresh bool
	// known is the number of addresses by cluster: of the former revision, or of what all pods know if there is none.
	known   map[string]int
	missing map[endpoint]bool
}

func (m *Member) compareEndpoints(ctx context.Context) (comparison, error) {
	var former map[string]map[string]xds.Shards
	var err error
	if m.From != "" {
		if former, err = askAll(ctx, m, m.From, xds.Endpoints); err != nil {
			return comparison{}, err
		}
	}
	answers, err := askAll(ctx, m, m.To, xds.Endpoints)
	if err != nil {
		return comparison{}, err
	}
	c := compare(former, answers)
	newest, err := m.newestIstiod(ctx, m.To)
	c.isFresh = m.now.Sub(newest) <= grace
	return c, err
}

// compare looks for each address that any pod of the former revision knows in every pod of the new one.
func compare(former, answers map[string]map[string]xds.Shards) comparison {
	c := comparison{pods: len(answers), formerPods: len(former), known: map[string]int{}, missing: map[endpoint]bool{}}
	if len(former) == 0 {
		// Without a former revision the pods are held against each other.
		former = answers
	}
	for host, shards := range union(former) {
		for cluster, addresses := range shards {
			c.known[cluster] += len(addresses)
			for pod, hosts := range answers {
				for address := range addresses {
					if _, ok := slices.BinarySearch(hosts[host][cluster], address); !ok {
						c.missing[endpoint{pod, host, cluster, address}] = true
					}
				}
			}
		}
	}
	return c
}

func union(answers map[string]map[string]xds.Shards) map[string]map[string]map[string]bool {
	all := map[string]map[string]map[string]bool{}
	for _, hosts := range answers {
		for host, shards := range hosts {
			for cluster, addresses := range shards {
				for _, address := range addresses {
					if all[host] == nil {
						all[host] = map[string]map[string]bool{}
					}
					if all[host][cluster] == nil {
						all[host][cluster] = map[string]bool{}
					}
					all[host][cluster][address] = true
				}
			}
		}
	}
	return all
}

// judgeEndpoints counts what is missing now and was missing before.
func judgeEndpoints(m *Member, c comparison, before map[endpoint]bool) Answer {
	if c.pods == 0 {
		return noIstiod(m.To)
	}
	if m.From != "" && c.formerPods == 0 {
		return inconclusive("there is nothing to compare with: no istiod pod of revision %s is ready", m.From)
	}
	lacking, down := map[string]int{}, map[string]int{}
	total := 0
	for e := range c.missing {
		switch {
		case !before[e]:
		case slices.Contains(m.Down, e.cluster):
			down[e.cluster]++
		default:
			lacking[fmt.Sprintf("%s in %s (%s)", e.host, e.cluster, e.pod)]++
			total++
		}
	}
	if len(down) > 0 && total == 0 && !m.IgnoreDown {
		return inconclusive("endpoints are missing of %s, which cannot be reached", some(keys(down)))
	}
	if total > 0 && c.isFresh {
		return inconclusive("still missing %s: %s", count(total, "endpoint"), some(keys(lacking)))
	}
	if total > 0 {
		return fail("missing %s: %s", count(total, "endpoint"), some(keys(lacking))).measured(float64(total), "<= 0")
	}
	var unknown, seen []string
	for _, cluster := range append([]string{m.Cluster}, m.Peers...) {
		if c.known[cluster] == 0 && !(m.IgnoreDown && slices.Contains(m.Down, cluster)) {
			unknown = append(unknown, cluster)
		}
		seen = append(seen, fmt.Sprintf("%s %d", cluster, c.known[cluster]))
	}
	if len(unknown) > 0 {
		// Every cluster has at least the endpoint of its API server.
		return inconclusive("no endpoint is known of %s", some(unknown))
	}
	slices.Sort(seen[1:])
	return pass("no address is missing in %s; addresses by cluster: %s", count(c.pods, "istiod pod"), shorten(strings.Join(seen, ", "), 200)).
		measured(0, "<= 0")
}

func keys[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	return out
}
