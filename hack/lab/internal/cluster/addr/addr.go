// Package addr is the address plan of the lab: which addresses belong to which cluster.
//
// Everything follows from one small number, the index of the cluster, so that no allocation has to be stored and two
// clusters can never overlap. Nodes and LoadBalancer addresses share one flat network that all clusters and the host
// reach; pod and Service networks are private to their cluster.
package addr

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
)

const (
	// MaxClusters is bounded by the /24 of the bridge: ten LoadBalancer addresses per cluster.
	MaxClusters = 12
	// PoolSize is the number of LoadBalancer addresses per cluster.
	PoolSize = 10
	// maxNameLength keeps "lab-<name>" within the 15 bytes of a Linux interface name.
	maxNameLength = 11
)

var (
	// Bridge is the address of the host on the shared network.
	Bridge = netip.MustParsePrefix("172.30.0.1/24")
	// AllPods covers the pod networks of every cluster there can be. Each node has a blackhole route for it, so that
	// pods of different clusters cannot reach each other whatever clusters are added later.
	AllPods = netip.MustParsePrefix("10.192.0.0/11")
	// AllServices covers the Service networks of every cluster there can be; a blackhole as well.
	AllServices = netip.MustParsePrefix("10.96.0.0/12")

	nameFormat = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)
)

// Plan holds the addresses of one cluster.
type Plan struct {
	Node     netip.Addr
	Pods     netip.Prefix
	Services netip.Prefix
	// FirstService is the ClusterIP of the Service "kubernetes".
	FirstService netip.Addr
	DNS          netip.Addr
	// Pool are the LoadBalancer addresses.
	Pool []netip.Addr
	// MAC is fixed, so that neighbours do not keep a stale entry when a cluster is recreated.
	MAC [6]byte
}

// For returns the addresses of the cluster with the given index.
func For(index int) (Plan, error) {
	if index < 0 || index >= MaxClusters {
		return Plan{}, fmt.Errorf("cluster index %d is outside 0..%d", index, MaxClusters-1)
	}
	i := byte(index)
	services := netip.AddrFrom4([4]byte{10, 100 + i, 0, 0})
	plan := Plan{
		Node:         netip.AddrFrom4([4]byte{172, 30, 0, 10 + i}),
		Pods:         netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 200 + i, 0, 0}), 16),
		Services:     netip.PrefixFrom(services, 16),
		FirstService: services.Next(),
		DNS:          netip.AddrFrom4([4]byte{10, 100 + i, 0, 10}),
		MAC:          [6]byte{0x02, 0x6d, 0x66, 0x00, 0x00, 0x10 + i},
	}
	for n := range byte(PoolSize) {
		plan.Pool = append(plan.Pool, netip.AddrFrom4([4]byte{172, 30, 0, 100 + PoolSize*i + n}))
	}
	return plan, nil
}

// FreeIndex returns the lowest index that is not taken.
func FreeIndex(taken []int) (int, error) {
	for i := range MaxClusters {
		if !slices.Contains(taken, i) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("all %d cluster indexes are taken", MaxClusters)
}

// CheckName reports whether a cluster name can be used for hosts, interfaces and cgroups.
func CheckName(name string) error {
	if len(name) > maxNameLength || !nameFormat.MatchString(name) {
		return fmt.Errorf("cluster name %q: want at most %d lower-case letters, digits or dashes, beginning with a letter",
			name, maxNameLength)
	}
	return nil
}

// HostLink is the name of the cluster's link on the bridge.
func HostLink(cluster string) string { return "lab-" + cluster }
