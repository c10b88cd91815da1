package configdiff

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// routeConfigs compares the routes that the same connections are routed by. Many listeners may refer to the same ones.
func (d *diff) routeConfigs(listener string, before, after *routev3.RouteConfiguration) {
	switch {
	case before == nil:
		return
	case after == nil:
		d.add(RoutesLost, listener, "there are no routes any more")
		return
	}
	pair := [2]*routev3.RouteConfiguration{before, after}
	if d.compared[pair] {
		return
	}
	d.compared[pair] = true
	subject := "routes " + before.GetName()
	d.changed(subject, before, after)
	hosts := byDomain(after)
	seen := map[[2]*routev3.VirtualHost]bool{}
	for _, host := range before.GetVirtualHosts() {
		name := subject + ", host " + host.GetName()
		var gone []string
		for _, domain := range host.GetDomains() {
			target := hosts[strings.ToLower(domain)]
			if target == nil {
				target = readdressed(domain, host, after)
			}
			if target == nil {
				gone = append(gone, domain)
				continue
			}
			if hosts := [2]*routev3.VirtualHost{host, target}; !seen[hosts] {
				seen[hosts] = true
				d.virtualHosts(name, host, target)
			}
		}
		switch {
		case len(gone) > 0 && len(gone) == len(host.GetDomains()):
			d.add(RoutesLost, name, "is gone")
		case len(gone) > 0:
			d.add(RoutesLost, name, "no longer serves %s", few(sorted(gone)))
		}
	}
	known := byDomain(before)
	for _, host := range after.GetVirtualHosts() {
		if !slices.ContainsFunc(host.GetDomains(), func(domain string) bool { return known[strings.ToLower(domain)] != nil }) {
			d.add(Added, subject+", host "+host.GetName(), "is new")
		}
	}
}

// readdressed finds the host of the same name if a domain is one of its addresses: like that of a listener, the address of a
// service which the proxy's own cluster does not have depends on which other cluster istiod has read first.
func readdressed(domain string, before *routev3.VirtualHost, after *routev3.RouteConfiguration) *routev3.VirtualHost {
	if !isAddress(domain) {
		return nil
	}
	for _, host := range after.GetVirtualHosts() {
		if host.GetName() == before.GetName() && slices.ContainsFunc(host.GetDomains(), isAddress) {
			return host
		}
	}
	return nil
}

// isAddress says whether a domain is an IP address, with a port or without.
func isAddress(domain string) bool {
	if host, _, err := net.SplitHostPort(domain); err == nil {
		domain = host
	}
	_, err := netip.ParseAddr(strings.Trim(domain, "[]"))
	return err == nil
}

func byDomain(c *routev3.RouteConfiguration) map[string]*routev3.VirtualHost {
	hosts := map[string]*routev3.VirtualHost{}
	for _, host := range c.GetVirtualHosts() {
		for _, domain := range host.GetDomains() {
			hosts[strings.ToLower(domain)] = host
		}
	}
	return hosts
}

// virtualHosts compares routes, matched by the requests that they take.
func (d *diff) virtualHosts(subject string, before, after *routev3.VirtualHost) {
	d.perFilter(subject, before.GetTypedPerFilterConfig(), after.GetTypedPerFilterConfig())
	d.changed(subject, before, after)
	if before.GetRequireTls() > after.GetRequireTls() {
		d.add(TLSWeakened, subject, "fewer requests must come with TLS")
	}
	was, is := matches(before), matches(after)
	gone, fresh := missing(was, is), missing(is, was)
	if isReordered(was, is) {
		d.add(RoutesReordered, subject, "routes are tried in another order")
	}
	for _, m := range gone {
		d.add(RoutesLost, subject, "route for %s is gone", matchText(before, m))
	}
	for _, m := range fresh {
		d.add(Added, subject, "route for %s is new", matchText(after, m))
	}
	d.shadowed(subject, before, after, fresh)
	used := make([]bool, len(is))
	for i, m := range was {
		for k := range is {
			if !used[k] && is[k] == m {
				used[k] = true
				d.route(subject, before.GetRoutes()[i], after.GetRoutes()[k])
				break
			}
		}
	}
}

// shadowed finds routes that are still there but come after a new one that takes every request.
func (d *diff) shadowed(subject string, before, after *routev3.VirtualHost, fresh []string) {
	was := matches(before)
	for i, r := range after.GetRoutes() {
		m := canonical(r.GetMatch())
		if !isCatchAll(r.GetMatch()) || !slices.Contains(fresh, m) {
			continue
		}
		for _, later := range after.GetRoutes()[i+1:] {
			if slices.Contains(was, canonical(later.GetMatch())) {
				d.add(RoutesLost, subject, "route for %s is never reached", requestText(later.GetMatch()))
			}
		}
		return
	}
}

func isCatchAll(m *routev3.RouteMatch) bool {
	return m.GetPrefix() == "/" && len(m.GetHeaders())+len(m.GetQueryParameters()) == 0 && m.GetRuntimeFraction() == nil && m.GetGrpc() == nil
}

func matches(h *routev3.VirtualHost) []string {
	var out []string
	for _, r := range h.GetRoutes() {
		out = append(out, canonical(r.GetMatch()))
	}
	return out
}

func matchText(h *routev3.VirtualHost, match string) string {
	for _, r := range h.GetRoutes() {
		if canonical(r.GetMatch()) == match {
			return requestText(r.GetMatch())
		}
	}
	return ""
}

// requestText says which requests a route takes.
func requestText(m *routev3.RouteMatch) string {
	text := ""
	switch p := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Prefix:
		text = p.Prefix + "*"
	case *routev3.RouteMatch_Path:
		text = p.Path
	case *routev3.RouteMatch_PathSeparatedPrefix:
		text = p.PathSeparatedPrefix + "/*"
	default:
		return brief(m)
	}
	var headers []string
	for _, h := range m.GetHeaders() {
		headers = append(headers, h.GetName())
	}
	if len(headers) > 0 {
		text += fmt.Sprintf(" with %s", few(headers))
	}
	return text
}

// perFilter compares settings that filters have for some requests only.
func (d *diff) perFilter(subject string, before, after map[string]*anypb.Any) {
	for _, name := range sortedKeys(before) {
		if after[name] == nil {
			d.add(FiltersLost, subject, "what filter %s does here is gone", name)
			continue
		}
		// Types that cannot be read are compared as they are.
		was, _ := unpack(before[name])
		is, _ := unpack(after[name])
		d.filterConfig(subject, [2]filter{{name: name, config: before[name]}, {name: name, config: after[name]}}, was, is)
	}
	for _, name := range sortedKeys(after) {
		if before[name] == nil {
			d.add(Added, subject, "filter %s does something here", name)
		}
	}
}
