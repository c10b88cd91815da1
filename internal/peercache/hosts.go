package peercache

import (
	"maps"
	"slices"
)

// Hosts are the addresses that a cluster itself has, by host name of the service. A service of which it has none is in it
// without addresses.
type Hosts map[string]Addresses

// Addresses are those of one service, sorted. They may be shared and must not be changed.
type Addresses struct {
	// All are the addresses that every istiod pod knows, Any those that at least one knows.
	All, Any []string
}

// Merge puts together what the istiod pods of a cluster say.
func Merge(answers []map[string][]string) Hosts {
	hosts := Hosts{}
	for _, answer := range answers {
		for host := range answer {
			if _, done := hosts[host]; !done {
				hosts[host] = merge(answers, host)
			}
		}
	}
	return hosts
}

func merge(answers []map[string][]string, host string) Addresses {
	known := map[string]int{}
	for _, answer := range answers {
		for _, address := range slices.Compact(slices.Sorted(slices.Values(answer[host]))) {
			known[address]++
		}
	}
	a := Addresses{Any: slices.Sorted(maps.Keys(known))}
	a.All = a.Any
	if slices.ContainsFunc(a.Any, func(address string) bool { return known[address] < len(answers) }) {
		a.All = slices.DeleteFunc(slices.Clone(a.Any), func(address string) bool { return known[address] < len(answers) })
	}
	return a
}

// IsEmpty says whether no address is known at all.
func (h Hosts) IsEmpty() bool {
	for _, a := range h {
		if len(a.Any) > 0 {
			return false
		}
	}
	return true
}

// Has says whether the cluster knows the service at all.
func (h Hosts) Has(host string) bool {
	_, ok := h[host]
	return ok
}

// Lacks says whether the cluster knows the service, and that it has no such address.
func (h Hosts) Lacks(host, address string) bool {
	a, ok := h[host]
	if !ok {
		return false
	}
	_, found := slices.BinarySearch(a.Any, address)
	return !found
}
