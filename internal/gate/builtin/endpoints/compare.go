// Package endpoints compares the endpoints that the istiods of two revisions know with each other, and with those that
// peers report of themselves. It asks nothing itself.
package endpoints

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/meshfleet/meshfleet/internal/gate"
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
	// isShared means that the former revision differs in the same way: it is no fault of the new one.
	isShared bool
}

// service is a service of a cluster.
type service struct{ host, cluster string }

// looks is how many looks must show a difference before it counts.
const looks = 4

// recent is how old the report of a peer may be at the first look.
const recent = 10 * time.Second

// Comparison is one look at what both revisions know, or what several looks have in common.
type Comparison struct {
	// looks is how many there were at the same istiod pods.
	looks int
	// pods and formerPods are the istiod pods of both revisions, sorted.
	pods, formerPods []string
	// IsFresh means that an istiod pod of the new revision has just started, and may still be reading peers.
	IsFresh bool
	// NoAnswer are the peers that were asked for a report and gave none, and why.
	NoAnswer map[string]string
	// reported are the peers with a report of their own endpoints.
	reported []string
	// known is the number of addresses by cluster: of the former revision, or of all pods if there is none or the
	// cluster reports itself.
	known       map[string]int
	differences map[endpoint]deviation
	// leftOut are services of which the peer has addresses and neither revision knows one, or that the peer does not know at
	// all: the discovery selectors of one side leave out their namespace.
	leftOut map[service]bool
}

// Compare looks in every pod of the new revision for each address that any pod of the former one knows, and for exactly
// the addresses that peers have.
func Compare(former, answers map[string]map[string]istiod.Shards, reports map[string]peercache.Hosts) Comparison {
	c := Comparison{
		looks: 1, pods: slices.Sorted(maps.Keys(answers)), formerPods: slices.Sorted(maps.Keys(former)), reported: slices.Sorted(maps.Keys(reports)), known: map[string]int{},
		differences: map[endpoint]deviation{}, leftOut: map[service]bool{},
	}
	now, before := union(answers), union(former)
	expected := before
	if len(former) == 0 {
		// Without a former revision the pods are compared with each other.
		expected = now
	}
	for host, shards := range expected {
		for cluster, addresses := range shards {
			c.known[cluster] += len(addresses)
			for address := range addresses {
				// What the peer itself has no longer is not missed.
				if !reports[cluster].Lacks(host, address) {
					c.search(answers, endpoint{host: host, cluster: cluster, address: address}, deviation{})
				}
			}
		}
	}
	for peer, hosts := range reports {
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
func (c *Comparison) missing(answers map[string]map[string]istiod.Shards, now, before known, peer string, hosts peercache.Hosts) {
	for host, addresses := range hosts {
		if len(addresses.All) > 0 && len(now[host][peer]) == 0 && len(before[host][peer]) == 0 {
			c.leftOut[service{host, peer}] = true
			continue
		}
		for _, address := range addresses.All {
			isShared := len(c.formerPods) > 0 && !before[host][peer][address]
			c.search(answers, endpoint{host: host, cluster: peer, address: address}, deviation{isShared})
		}
	}
}

// stale looks for what a peer has not.
func (c *Comparison) stale(answers map[string]map[string]istiod.Shards, before known, peer string, hosts peercache.Hosts) {
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
func (c *Comparison) search(answers map[string]map[string]istiod.Shards, e endpoint, d deviation) {
	for pod, hosts := range answers {
		if _, ok := slices.BinarySearch(hosts[e.host][e.cluster], e.address); !ok {
			e.pod = pod
			c.differences[e] = d
		}
	}
}

// ToAsk are the peers among these that the next look asks for a report, and how old that may be. After a first look, only
// those are asked again from whose report something differs, and the new report is younger than that look. Without a former
// look, c is nil.
func (c *Comparison) ToAsk(peers []string) ([]string, time.Duration) {
	if c == nil {
		return peers, recent
	}
	differs := map[string]bool{}
	for e := range c.differences {
		differs[e.cluster] = true
	}
	return slices.DeleteFunc(slices.Clone(peers), func(peer string) bool { return !differs[peer] || !slices.Contains(c.reported, peer) }), 0
}

// Differs reports whether anything differs.
func (c *Comparison) Differs() bool { return len(c.differences) > 0 }

// IsOpen reports whether more looks are needed before what differs counts.
func (c *Comparison) IsOpen() bool { return c.Differs() && c.looks < looks }

// Differences says how many differences this many looks have shown.
func (c *Comparison) Differences() string {
	return fmt.Sprintf("%s at look %d of %d", gate.Count(len(c.differences), "differing endpoint"), c.looks, looks)
}

// Confirmed is a later look without the differences that this one, which may be nil, does not show too. Only peers of which
// something differed were asked again: the reports of the others stand. Other istiod pods are a first look.
func (c *Comparison) Confirmed(later Comparison) Comparison {
	if c == nil || !slices.Equal(c.pods, later.pods) || !slices.Equal(c.formerPods, later.formerPods) {
		return later
	}
	later.looks = c.looks + 1
	for e, d := range later.differences {
		if before, ok := c.differences[e]; ok {
			later.differences[e] = deviation{isShared: d.isShared || before.isShared}
		} else {
			delete(later.differences, e)
		}
	}
	noAnswer := map[string]string{}
	maps.Copy(noAnswer, c.NoAnswer)
	maps.Copy(noAnswer, later.NoAnswer)
	reported := slices.DeleteFunc(slices.Clone(c.reported), func(peer string) bool { return noAnswer[peer] != "" })
	for _, peer := range reported {
		if !slices.Contains(later.reported, peer) {
			later.known[peer] = c.known[peer]
		}
	}
	later.reported, later.NoAnswer, later.leftOut = reported, noAnswer, c.leftOut
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
