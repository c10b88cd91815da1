package gate

import (
	"maps"
	"slices"

	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/peercache"
)

// endpoint is an address of a service in a cluster that an istiod pod lacks, or that it knows though the cluster has it not.
type endpoint struct {
	pod, host, cluster, address string
	isStale                     bool
}

// deviation is what else is known of an endpoint that differs.
type deviation struct {
	// isShared says that the former revision differs in the same way: it is no fault of the new one.
	isShared bool
}

// service is a service of a cluster.
type service struct{ host, cluster string }

// comparison is one look at what both revisions know, or what several looks have in common.
type comparison struct {
	pods, formerPods int
	// isFresh says that an istiod pod of the new revision has just started, and may still be reading peers.
	isFresh bool
	// heard are the peers that have said themselves what they have, silent those that have not, and why.
	heard  []string
	silent map[string]string
	// known is the number of addresses by cluster: of the former revision, or of all pods if there is none or the
	// cluster was heard.
	known       map[string]int
	differences map[endpoint]deviation
	// leftOut are services of which the peer has addresses and neither revision knows one, or that the peer does not know at
	// all: the discovery selectors of one side leave out their namespace.
	leftOut map[service]bool
}

// compare looks in every pod of the new revision for each address that any pod of the former one knows, and for exactly
// the addresses that peers have.
func compare(former, answers map[string]map[string]istiod.Shards, said map[string]peercache.Hosts) comparison {
	c := comparison{
		pods: len(answers), formerPods: len(former), heard: slices.Sorted(maps.Keys(said)), known: map[string]int{},
		differences: map[endpoint]deviation{}, leftOut: map[service]bool{},
	}
	now, before := union(answers), union(former)
	expected := before
	if len(former) == 0 {
		// Without a former revision the pods are held against each other.
		expected = now
	}
	for host, shards := range expected {
		for cluster, addresses := range shards {
			c.known[cluster] += len(addresses)
			for address := range addresses {
				// What the peer itself has no longer is not missed.
				if !said[cluster].Lacks(host, address) {
					c.search(answers, endpoint{host: host, cluster: cluster, address: address}, deviation{})
				}
			}
		}
	}
	for peer, hosts := range said {
		c.known[peer] = 0
		for _, shards := range now {
			c.known[peer] += len(shards[peer])
		}
		c.missing(answers, now, before, peer, hosts)
		c.stale(answers, before, peer, hosts)
	}
	return c
}

// missing looks for what a peer has.
func (c *comparison) missing(answers map[string]map[string]istiod.Shards, now, before known, peer string, hosts peercache.Hosts) {
	for host, addresses := range hosts {
		if len(addresses.All) > 0 && len(now[host][peer]) == 0 && len(before[host][peer]) == 0 {
			c.leftOut[service{host, peer}] = true
			continue
		}
		for _, address := range addresses.All {
			isShared := c.formerPods > 0 && !before[host][peer][address]
			c.search(answers, endpoint{host: host, cluster: peer, address: address}, deviation{isShared})
		}
	}
}

// stale looks for what a peer has not.
func (c *comparison) stale(answers map[string]map[string]istiod.Shards, before known, peer string, hosts peercache.Hosts) {
	for pod, shards := range answers {
		for host, clusters := range shards {
			for _, address := range clusters[peer] {
				switch {
				case !hosts.Has(host):
					c.leftOut[service{host, peer}] = true
				case hosts.Lacks(host, address):
					c.differences[endpoint{pod, host, peer, address, true}] = deviation{isShared: before[host][peer][address]}
				}
			}
		}
	}
}

// search notes the pods that lack an endpoint.
func (c *comparison) search(answers map[string]map[string]istiod.Shards, e endpoint, d deviation) {
	for pod, hosts := range answers {
		if _, ok := slices.BinarySearch(hosts[e.host][e.cluster], e.address); !ok {
			e.pod = pod
			c.differences[e] = d
		}
	}
}

// concerned are the peers that were heard and of which something differs.
func (c *comparison) concerned() []string {
	differs := map[string]bool{}
	for e := range c.differences {
		differs[e.cluster] = true
	}
	return slices.DeleteFunc(slices.Clone(c.heard), func(peer string) bool { return !differs[peer] })
}

// confirmed is a later look without the differences that this one does not show too. Only peers of which something differed
// were heard again: what was said of the others stands.
func (c *comparison) confirmed(later comparison) comparison {
	for e, d := range later.differences {
		if before, ok := c.differences[e]; ok {
			later.differences[e] = deviation{isShared: d.isShared || before.isShared}
		} else {
			delete(later.differences, e)
		}
	}
	silent := map[string]string{}
	maps.Copy(silent, c.silent)
	maps.Copy(silent, later.silent)
	heard := slices.DeleteFunc(slices.Clone(c.heard), func(peer string) bool { return silent[peer] != "" })
	for _, peer := range heard {
		if !slices.Contains(later.heard, peer) {
			later.known[peer] = c.known[peer]
		}
	}
	later.heard, later.silent, later.leftOut = heard, silent, c.leftOut
	return later
}

// known are addresses by host and cluster.
type known map[string]map[string]map[string]bool

// union has every address that any pod knows.
func union(answers map[string]map[string]istiod.Shards) known {
	all := known{}
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
