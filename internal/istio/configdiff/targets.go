package configdiff

import (
	"fmt"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
)

// targets are clusters with their shares of 10,000.
type targets map[string]uint64

// route compares where requests go and what happens to them.
func (d *diff) route(subject string, before, after *routev3.Route) {
	subject += ", " + requestText(before.GetMatch())
	d.perFilter(subject, before.GetTypedPerFilterConfig(), after.GetTypedPerFilterConfig())
	was, is := before.GetRoute(), after.GetRoute()
	switch {
	case was == nil && is == nil:
	case is == nil:
		d.add(RoutesLost, subject, "requests no longer go to %s", few(sortedKeys(routeTargets(was))))
		return
	case was == nil:
		d.add(RoutesChanged, subject, "requests now go to %s", few(sortedKeys(routeTargets(is))))
		return
	default:
		d.destinations(subject, "requests", routeTargets(was), routeTargets(is))
		d.destinations(subject, "copies", mirrors(was), mirrors(is))
	}
	for _, path := range differences(before, after) {
		if startsWith(path, elsewhereFields) {
			d.add(RoutesChanged, subject, "%s", path)
		} else {
			d.add(Changed, subject, "%s", path)
		}
	}
}

// elsewhereFields are those by which a request arrives at another place, or as another one.
var elsewhereFields = []string{"redirect", "direct_response", "route.prefix_rewrite", "route.regex_rewrite", "route.path_rewrite",
	"route.host_rewrite", "route.auto_host_rewrite", "route.cluster_header"}

func (d *diff) destinations(subject, what string, before, after targets) {
	var gone, moved []string
	for _, name := range sortedKeys(before) {
		switch share, ok := after[name]; {
		case !ok:
			gone = append(gone, name)
		case share != before[name]:
			moved = append(moved, fmt.Sprintf("%s %g%% → %g%%", name, float64(before[name])/100, float64(share)/100))
		}
	}
	var fresh []string
	for _, name := range sortedKeys(after) {
		if _, ok := before[name]; !ok {
			fresh = append(fresh, name)
		}
	}
	if len(gone) > 0 {
		d.add(RoutesLost, subject, "%s no longer go to %s", what, few(gone))
	}
	if len(fresh) > 0 {
		d.add(RoutesChanged, subject, "%s also go to %s", what, few(fresh))
	}
	if len(moved) > 0 {
		d.add(RoutesChanged, subject, "shares of %s: %s", what, few(moved))
	}
}

const whole = 10000

func routeTargets(a *routev3.RouteAction) targets {
	out := targets{}
	switch s := a.GetClusterSpecifier().(type) {
	case *routev3.RouteAction_Cluster:
		out[s.Cluster] = whole
	case *routev3.RouteAction_WeightedClusters:
		var total uint64
		for _, c := range s.WeightedClusters.GetClusters() {
			total += uint64(c.GetWeight().GetValue())
		}
		for _, c := range s.WeightedClusters.GetClusters() {
			if weight := uint64(c.GetWeight().GetValue()); weight > 0 {
				out[c.GetName()] += weight * whole / total
			}
		}
	}
	return out
}

func mirrors(a *routev3.RouteAction) targets {
	out := targets{}
	for _, m := range a.GetRequestMirrorPolicies() {
		out[m.GetCluster()] = whole
	}
	return out
}

func tcpTargets(p *tcpv3.TcpProxy) targets {
	out := targets{}
	if p.GetCluster() != "" {
		out[p.GetCluster()] = whole
	}
	var total uint64
	for _, c := range p.GetWeightedClusters().GetClusters() {
		total += uint64(c.GetWeight())
	}
	for _, c := range p.GetWeightedClusters().GetClusters() {
		if c.GetWeight() > 0 {
			out[c.GetName()] += uint64(c.GetWeight()) * whole / total
		}
	}
	return out
}
