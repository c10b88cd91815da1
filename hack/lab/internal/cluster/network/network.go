//go:build linux

// Package network joins the nodes of all clusters and the host by one bridge.
//
// Nothing here touches the host's firewall or forwarding: nodes talk over the bridge, and the host is one more neighbour
// on it.
package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/addr"
)

const (
	bridgeName = "lab0"
	// NodeLink is the name of a node's only link, seen from inside.
	NodeLink = "eth0"
	// linkPrefix begins the names of all host ends.
	linkPrefix = "lab-"
)

// EnsureBridge creates the bridge, or reports who else uses its addresses.
func EnsureBridge() error {
	if err := checkClash(); err != nil {
		return err
	}
	bridge, err := netlink.LinkByName(bridgeName)
	if isNotFound(err) {
		attributes := netlink.NewLinkAttrs()
		attributes.Name = bridgeName
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attributes}); err != nil {
			return fmt.Errorf("create bridge %s: %w", bridgeName, err)
		}
		bridge, err = netlink.LinkByName(bridgeName)
	}
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", bridgeName, err)
	}
	if bridge.Type() != "bridge" {
		return fmt.Errorf("link %s exists and is a %s, not a bridge", bridgeName, bridge.Type())
	}
	if err := netlink.AddrReplace(bridge, &netlink.Addr{IPNet: ipNet(addr.Bridge)}); err != nil {
		return fmt.Errorf("give bridge %s its address: %w", bridgeName, err)
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		return fmt.Errorf("bring bridge %s up: %w", bridgeName, err)
	}
	return nil
}

func checkClash() error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, link := range links {
		if link.Attrs().Name == bridgeName {
			continue
		}
		addresses, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			return fmt.Errorf("list addresses of %s: %w", link.Attrs().Name, err)
		}
		for _, address := range addresses {
			if address.Contains(addr.Bridge.Addr().AsSlice()) || addr.Bridge.Contains(toAddr(address.IP)) {
				return fmt.Errorf("link %s has address %s, which overlaps the lab's network %s: remove one of them",
					link.Attrs().Name, address.IPNet, addr.Bridge.Masked())
			}
		}
	}
	return nil
}

// Attach gives the network namespace of a process its link, addresses and routes.
func Attach(cluster string, plan addr.Plan, pid int) error {
	bridge, err := netlink.LinkByName(bridgeName)
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", bridgeName, err)
	}
	attributes := netlink.NewLinkAttrs()
	attributes.Name = addr.HostLink(cluster)
	attributes.MasterIndex = bridge.Attrs().Index
	pair := &netlink.Veth{
		LinkAttrs: attributes, PeerName: NodeLink,
		PeerHardwareAddr: net.HardwareAddr(plan.MAC[:]), PeerNamespace: netlink.NsPid(pid),
	}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("create link %s: %w", attributes.Name, err)
	}
	if err := SetLink(cluster, true); err != nil {
		return err
	}
	return configureNode(plan, pid)
}

func configureNode(plan addr.Plan, pid int) error {
	namespace, err := netns.GetFromPid(pid)
	if err != nil {
		return fmt.Errorf("open network namespace of process %d: %w", pid, err)
	}
	defer func() { _ = namespace.Close() }()
	node, err := netlink.NewHandleAt(namespace)
	if err != nil {
		return fmt.Errorf("enter network namespace of process %d: %w", pid, err)
	}
	defer node.Close()

	for _, name := range []string{"lo", NodeLink} {
		link, err := node.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find link %s of the node: %w", name, err)
		}
		if err := node.LinkSetUp(link); err != nil {
			return fmt.Errorf("bring link %s of the node up: %w", name, err)
		}
		if name != NodeLink {
			continue
		}
		address := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(plan.Node, addr.Bridge.Bits()))}
		if err := node.AddrAdd(link, address); err != nil {
			return fmt.Errorf("give the node address %s: %w", plan.Node, err)
		}
	}
	for _, route := range routes(plan) {
		if err := node.RouteAdd(route); err != nil {
			return fmt.Errorf("add route to %s: %w", route.Dst, err)
		}
	}
	return nil
}

// routes returns a default route, which leads nowhere but must exist: a connection to a ClusterIP looks its route up
// before kube-proxy's rules rewrite the address. For the same reason the node's own Services need one beside the
// blackholes that keep the clusters' pod and Service networks apart.
func routes(plan addr.Plan) []*netlink.Route {
	gateway := net.IP(addr.Bridge.Addr().AsSlice())
	return []*netlink.Route{
		{Dst: &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}, Gw: gateway},
		{Dst: ipNet(plan.Services), Gw: gateway},
		{Dst: ipNet(addr.AllPods), Type: unix.RTN_BLACKHOLE},
		{Dst: ipNet(addr.AllServices), Type: unix.RTN_BLACKHOLE},
	}
}

// SetLink connects a cluster to the others or cuts it off. Traffic inside the cluster is not touched.
func SetLink(cluster string, up bool) error {
	link, err := netlink.LinkByName(addr.HostLink(cluster))
	if err != nil {
		return fmt.Errorf("find link %s: %w", addr.HostLink(cluster), err)
	}
	if up {
		err = netlink.LinkSetUp(link)
	} else {
		err = netlink.LinkSetDown(link)
	}
	if err != nil {
		return fmt.Errorf("switch link %s: %w", addr.HostLink(cluster), err)
	}
	return nil
}

// IsUp reports whether a cluster is connected to the others.
func IsUp(cluster string) bool {
	link, err := netlink.LinkByName(addr.HostLink(cluster))
	return err == nil && link.Attrs().Flags&net.FlagUp != 0
}

// Detach removes the link of a cluster. It normally vanished with the network namespace of the node already, but the
// kernel takes its time for that.
func Detach(ctx context.Context, cluster string) error {
	name := addr.HostLink(cluster)
	for {
		link, err := netlink.LinkByName(name)
		if isNotFound(err) {
			return nil
		}
		if err == nil {
			err = netlink.LinkDel(link)
		}
		if err != nil && !isNotFound(err) && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("remove link %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove link %s: %w", name, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Leftovers returns the names of all clusters that have a link on the host.
func Leftovers() ([]string, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	var names []string
	for _, link := range links {
		if name, ok := strings.CutPrefix(link.Attrs().Name, linkPrefix); ok && link.Type() == "veth" {
			names = append(names, name)
		}
	}
	return names, nil
}

// RemoveBridge removes the bridge; callers make sure that no cluster is left.
func RemoveBridge() error {
	bridge, err := netlink.LinkByName(bridgeName)
	if isNotFound(err) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(bridge)
	}
	if err != nil {
		return fmt.Errorf("remove bridge %s: %w", bridgeName, err)
	}
	return nil
}

// AddAddress gives the calling process's node one more address; its kernel answers ARP requests for it from then on.
func AddAddress(address netip.Addr) error {
	link, err := netlink.LinkByName(NodeLink)
	if err != nil {
		return fmt.Errorf("find link %s: %w", NodeLink, err)
	}
	if err := netlink.AddrReplace(link, hostAddress(address)); err != nil {
		return fmt.Errorf("add address %s: %w", address, err)
	}
	return nil
}

// RemoveAddress takes an address away again.
func RemoveAddress(address netip.Addr) error {
	link, err := netlink.LinkByName(NodeLink)
	if err != nil {
		return fmt.Errorf("find link %s: %w", NodeLink, err)
	}
	if err := netlink.AddrDel(link, hostAddress(address)); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("remove address %s: %w", address, err)
	}
	return nil
}

func hostAddress(address netip.Addr) *netlink.Addr {
	return &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(address, address.BitLen()))}
}

func isNotFound(err error) bool {
	var notFound netlink.LinkNotFoundError
	return errors.As(err, &notFound)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func toAddr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
