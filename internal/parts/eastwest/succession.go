package eastwest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// maxHeld bounds the addresses in GatewayTakeover.
const maxHeld = 64

// heldBefore records the addresses of a network that istiods of peers hold. Nil: they are more than a status holds.
func heldBefore(peers []meshv1alpha1.MeshMember, network string) *meshv1alpha1.GatewayTakeover {
	var held []string
	for i := range peers {
		for _, g := range peers[i].Status.Discovery.IstiodGateways {
			if g.Network == network {
				held = append(held, g.Address)
			}
		}
	}
	slices.Sort(held)
	if held = slices.Compact(held); len(held) > maxHeld {
		return nil
	}
	return &meshv1alpha1.GatewayTakeover{HeldBefore: held}
}

// addresses are those of one gateway's Service.
type addresses struct {
	// listed are the addresses as the Service has them. Names are the host names among them.
	listed, names []string
	// ips are the IP addresses, listed and resolved.
	ips []string
	// unresolved are the host names that the hub cannot resolve.
	unresolved []string
}

// resolve takes the addresses of a Service apart. An address that lookup does not know is a host name that cannot be resolved.
func resolve(listed []string, lookup map[string][]string) addresses {
	a := addresses{listed: listed}
	for _, address := range listed {
		switch {
		case isIP(address):
			a.ips = append(a.ips, address)
			continue
		case len(lookup[address]) == 0:
			a.unresolved = append(a.unresolved, address)
		}
		a.names = append(a.names, address)
		a.ips = append(a.ips, lookup[address]...)
	}
	return a
}

func isIP(address string) bool {
	_, err := netip.ParseAddr(address)
	return err == nil
}

// succession is what tells two gateways of a network apart by the addresses that istiods of peers hold. Istiod holds IP addresses only: it
// resolves host names by itself, and may get other addresses than the hub does.
type succession struct {
	network string
	// former is the gateway that is replaced, successor the one that replaces it.
	former, successor addresses
	// before are the addresses of the network that peers held before the successor was announced. Nil: not recorded.
	before *meshv1alpha1.GatewayTakeover
	// fixed are addresses of the network in `meshNetworks`: peers hold them whichever gateway there is.
	fixed []string
}

// indistinct is why peers cannot show which of the gateways they use. Empty: they can.
func (s *succession) indistinct() string {
	switch {
	case len(without(s.successor.listed, s.former.listed)) == 0:
		return "both gateways have the same addresses (" + mesh.Capped(s.successor.listed) + ")"
	case len(s.successor.names) == 0 && len(s.former.names) == 0:
		return ""
	case len(s.successor.unresolved) == 0 && len(without(s.successor.ips, append(slices.Clone(s.former.ips), s.fixed...))) == 0:
		return "the addresses of both gateways (" + mesh.Capped(s.former.listed) + " and " + mesh.Capped(s.successor.listed) + ") resolve to the same IP addresses"
	case s.before == nil && len(s.successor.unresolved) > 0:
		return "the hub cannot resolve " + mesh.Capped(s.successor.unresolved) + ", and the addresses that peers held before it was announced are not recorded"
	}
	return ""
}

// unaware lists the peers in which not every istiod and every proxy holds the successor: each of its IP addresses, and if none of these is
// its own, an address that only its host names can have given.
func (s *succession) unaware(peers []meshv1alpha1.MeshMember) []string {
	return s.where(peers, func(inIstiod, inProxies []string) bool {
		hasOwn := false
		for _, ip := range s.successor.listed {
			if !isIP(ip) {
				continue
			}
			if !slices.Contains(inIstiod, ip) || !slices.Contains(inProxies, ip) {
				return true
			}
			hasOwn = hasOwn || s.onlySuccessors(ip)
		}
		if hasOwn || len(s.successor.names) == 0 {
			return false
		}
		return !slices.ContainsFunc(inIstiod, func(ip string) bool { return slices.Contains(inProxies, ip) && s.onlySuccessors(ip) })
	})
}

// onlySuccessors is true for an address that no other gateway of the network has given to peers.
func (s *succession) onlySuccessors(ip string) bool {
	switch {
	case slices.Contains(s.former.ips, ip), slices.Contains(s.fixed, ip):
		return false
	case s.before == nil:
		return slices.Contains(s.successor.ips, ip)
	}
	return !slices.Contains(s.before.HeldBefore, ip)
}

// formers are the IP addresses that show a peer to use the former gateway still. Those that peers held before are among them if it has a
// host name: nobody else knows what a peer's istiod has resolved.
func (s *succession) formers() []string {
	ips := slices.Clone(s.former.ips)
	if len(s.former.names) > 0 && s.before != nil {
		ips = append(ips, s.before.HeldBefore...)
	}
	return without(without(ips, s.successor.ips), s.fixed)
}

// cannotShowLoss is true if nothing shows that a peer has dropped the former gateway: its addresses in peers are not known.
func (s *succession) cannotShowLoss() bool {
	return len(s.former.unresolved) > 0 && s.before == nil && len(without(s.former.listed, s.successor.listed)) > 0
}

// users lists the peers whose istiod holds the former gateway, or whose proxies have not all acknowledged that it is gone.
func (s *succession) users(peers []meshv1alpha1.MeshMember) []string {
	formers := s.formers()
	isFormer := func(ip string) bool { return slices.Contains(formers, ip) }
	return s.where(peers, func(inIstiod, inProxies []string) bool {
		return slices.ContainsFunc(inIstiod, isFormer) || slices.ContainsFunc(inProxies, isFormer)
	})
}

// where lists the peers for which match holds of the network's addresses that their istiods, and their proxies, have.
func (s *succession) where(peers []meshv1alpha1.MeshMember, match func(inIstiod, inProxies []string) bool) []string {
	var out []string
	for i := range peers {
		d := &peers[i].Status.Discovery
		if match(addressesIn(d.IstiodGateways, s.network), addressesIn(d.ProxyGateways, s.network)) {
			out = append(out, peers[i].Spec.Cluster)
		}
	}
	return out
}

func addressesIn(gateways []meshv1alpha1.NetworkGateway, network string) []string {
	var out []string
	for _, g := range gateways {
		if g.Network == network {
			out = append(out, g.Address)
		}
	}
	return out
}

// evidence says what peers are waited for to hold, for messages about a gateway with host names.
func (s *succession) evidence() string {
	if len(s.successor.names) == 0 {
		return ""
	}
	text := fmt.Sprintf(" (an address of %s that they did not hold before)", mesh.Capped(s.successor.names))
	if len(s.successor.unresolved) > 0 {
		text += "; the hub cannot resolve " + mesh.Capped(s.successor.unresolved) +
			": check that DNS has it; if it leads to the same addresses as the former gateway, set spec.eastWestGateway.replacement to InPlace"
	}
	return text
}

// fixedAddresses are the addresses of the member's network in the `meshNetworks` of its revisions.
func fixedAddresses(m *meshv1alpha1.MeshMemberSpec) ([]string, error) {
	var out []string
	for i := range m.Revisions {
		values, err := mesh.Values(m.Revisions[i].Values)
		if err != nil {
			return nil, err
		}
		global, _ := values["global"].(map[string]any)
		networks, _ := global["meshNetworks"].(map[string]any)
		network, _ := networks[m.Network].(map[string]any)
		gateways, _ := network["gateways"].([]any)
		for _, g := range gateways {
			gateway, _ := g.(map[string]any)
			if address, _ := gateway["address"].(string); strings.TrimSpace(address) != "" && !slices.Contains(out, address) {
				out = append(out, address)
			}
		}
	}
	return out, nil
}
