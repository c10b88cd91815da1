package custom

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
)

// checkAddress says why a gate may not connect to an address. Tests of this package replace it: their servers are on loopback.
var checkAddress = refuseLocal

// refuseLocal refuses what is not on the network: the hub's node, which serves credentials of the cloud at a link-local address, and the
// operator's own pod.
func refuseLocal(a netip.Addr) error {
	a = a.Unmap()
	kind := ""
	switch {
	case a.IsLoopback():
		kind = "loopback"
	case a.IsUnspecified():
		kind = "unspecified"
	case a.IsLinkLocalUnicast(), a.IsLinkLocalMulticast(), a.IsInterfaceLocalMulticast():
		kind = "link-local"
	default:
		return nil
	}
	return fmt.Errorf("the %s address %s is refused; gates reach servers at other addresses only", kind, a)
}

// control checks the address of each connection, after names are resolved.
func control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("read the address %q: %w", address, err)
	}
	return checkAddress(at.Addr())
}

// transportTo makes a transport to a server. If the environment has a proxy for it, the connection is to the proxy, which whoever deploys
// the operator chooses; then only an address in the URL itself can be checked.
func transportTo(target string) (*http.Transport, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, plain(err)
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	if err != nil {
		return nil, fmt.Errorf("find the proxy of the environment: %w", err)
	}
	dialer := &net.Dialer{Control: control}
	if proxy != nil {
		if at, err := netip.ParseAddr(u.Hostname()); err == nil {
			if err := checkAddress(at); err != nil {
				return nil, err
			}
		}
		dialer.Control = nil
	}
	return &http.Transport{Proxy: http.ProxyURL(proxy), DialContext: dialer.DialContext}, nil
}
