package configdiff

import (
	"fmt"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/meshfleet/meshfleet/internal/mesh"
)

// Config is the configuration of one proxy.
type Config struct {
	Clusters  []*clusterv3.Cluster
	Endpoints []*endpointv3.ClusterLoadAssignment
	Listeners []*listenerv3.Listener
	Routes    []*routev3.RouteConfiguration
}

// Finding is one difference.
type Finding struct {
	Class Class
	// Subject is what it is found in, for example `cluster outbound|80||web.demo.svc.cluster.local`.
	Subject string
	// What has happened to the subject. It is the same text for the same change of many subjects.
	What string
}

// Compare finds what differs in a proxy's configuration. The result is sorted. The error says that one of the
// configurations cannot be read.
func Compare(before, after Config) ([]Finding, error) {
	d := &diff{before: newIndex(before), after: newIndex(after), found: map[Finding]bool{},
		compared: map[[2]*routev3.RouteConfiguration]bool{}}
	if err := d.clusters(); err != nil {
		return nil, err
	}
	if err := d.listeners(); err != nil {
		return nil, err
	}
	findings := make([]Finding, 0, len(d.found))
	for f := range d.found {
		findings = append(findings, f)
	}
	slices.SortFunc(findings, order)
	return findings, nil
}

// order sorts by class, gravest first, then by what and by subject.
func order(a, b Finding) int {
	if a.Class != b.Class {
		return slices.Index(Classes(), a.Class) - slices.Index(Classes(), b.Class)
	}
	if c := strings.Compare(a.What, b.What); c != 0 {
		return c
	}
	return strings.Compare(a.Subject, b.Subject)
}

type diff struct {
	before, after *index
	found         map[Finding]bool
	compared      map[[2]*routev3.RouteConfiguration]bool
}

func (d *diff) add(class Class, subject, format string, args ...any) {
	d.found[Finding{class, subject, fmt.Sprintf(format, args...)}] = true
}

// index finds resources by what identifies them.
type index struct {
	clusters  map[string]*clusterv3.Cluster
	endpoints map[string]*endpointv3.ClusterLoadAssignment
	listeners map[string]*listenerv3.Listener
	routes    map[string]*routev3.RouteConfiguration
}

func newIndex(c Config) *index {
	x := &index{clusters: map[string]*clusterv3.Cluster{}, endpoints: map[string]*endpointv3.ClusterLoadAssignment{},
		listeners: map[string]*listenerv3.Listener{}, routes: map[string]*routev3.RouteConfiguration{}}
	for _, r := range c.Clusters {
		x.clusters[r.GetName()] = r
	}
	for _, r := range c.Endpoints {
		x.endpoints[r.GetClusterName()] = r
	}
	for _, r := range c.Listeners {
		x.listeners[whereabouts(r)] = r
	}
	for _, r := range c.Routes {
		x.routes[r.GetName()] = r
	}
	return x
}

// sortedKeys makes findings that depend on an order repeatable.
func sortedKeys[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// few writes the first of many names.
func few(names []string) string {
	const shown = 2
	return mesh.Enumerate(names, len(names), shown, ", ")
}

// missing are the elements of a that b lacks, counting repetitions, in the order of a.
func missing[T comparable](a, b []T) []T {
	left := map[T]int{}
	for _, e := range b {
		left[e]++
	}
	var out []T
	for _, e := range a {
		if left[e]--; left[e] < 0 {
			out = append(out, e)
		}
	}
	return out
}

// isReordered says that what both lists have comes in another order.
func isReordered[T comparable](a, b []T) bool {
	return !slices.Equal(without(a, missing(a, b)), without(b, missing(b, a)))
}

// without takes as many of each element out of a list as there are in the other one.
func without[T comparable](list, out []T) []T {
	return missing(list, out)
}
