//go:build linux

// Package loadbalancer gives every Service of type LoadBalancer an address of its own, as a cloud would. kube-proxy does
// the forwarding; the node only has to own the address and to write it into the Service's status.
package loadbalancer

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// pool hands out addresses in turn, not the lowest free one first: peers may remember a released address for a while,
// and must not find another Service behind it.
type pool struct {
	addresses []netip.Addr
	next      int
	owners    map[netip.Addr]types.UID
}

func newPool(addresses []netip.Addr) *pool {
	return &pool{addresses: addresses, owners: map[netip.Addr]types.UID{}}
}

// keep returns the Service's address, preferring the one it had: in our memory, or else in its status.
func (p *pool) keep(service *corev1.Service) (netip.Addr, bool) {
	for address, owner := range p.owners {
		if owner == service.UID {
			return address, true
		}
	}
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		address, err := netip.ParseAddr(ingress.IP)
		if err != nil || !slices.Contains(p.addresses, address) {
			continue
		}
		if _, taken := p.owners[address]; !taken {
			p.owners[address] = service.UID
			return address, true
		}
	}
	return netip.Addr{}, false
}

// take gives out a free address; false when there is none.
func (p *pool) take(service *corev1.Service) (netip.Addr, bool) {
	for range p.addresses {
		address := p.addresses[p.next%len(p.addresses)]
		p.next++
		if _, taken := p.owners[address]; !taken {
			p.owners[address] = service.UID
			return address, true
		}
	}
	return netip.Addr{}, false
}

// release frees the addresses of all Services but the given ones, and returns them.
func (p *pool) release(services []*corev1.Service) []netip.Addr {
	living := map[types.UID]bool{}
	for _, service := range services {
		living[service.UID] = true
	}
	var freed []netip.Addr
	for address, owner := range p.owners {
		if !living[owner] {
			freed = append(freed, address)
			delete(p.owners, address)
		}
	}
	return freed
}

// assign returns an address for each Service and the Services left without. Those that have an address are served
// first, so that a newcomer never takes it.
func (p *pool) assign(services []*corev1.Service) (assigned map[types.UID]netip.Addr, without []*corev1.Service) {
	assigned = map[types.UID]netip.Addr{}
	slices.SortFunc(services, func(a, b *corev1.Service) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	var newcomers []*corev1.Service
	for _, service := range services {
		if address, ok := p.keep(service); ok {
			assigned[service.UID] = address
		} else {
			newcomers = append(newcomers, service)
		}
	}
	for _, service := range newcomers {
		if address, ok := p.take(service); ok {
			assigned[service.UID] = address
		} else {
			without = append(without, service)
		}
	}
	return assigned, without
}

// isOurs leaves out Services of a class: their owners brought a load balancer of their own.
func isOurs(service *corev1.Service) bool {
	return service.Spec.Type == corev1.ServiceTypeLoadBalancer && service.Spec.LoadBalancerClass == nil
}
