package istiod

import (
	"fmt"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

// endpointNames are the names under which the endpoints of clusters are asked for.
func endpointNames(clusters []*clusterv3.Cluster) []string {
	var names []string
	for _, c := range clusters {
		if c.GetType() != clusterv3.Cluster_EDS {
			continue
		}
		name := c.GetEdsClusterConfig().GetServiceName()
		if name == "" {
			name = c.GetName()
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// routeNames are the names of the route configurations that listeners refer to.
func routeNames(listeners []*listenerv3.Listener) ([]string, error) {
	var names []string
	for _, l := range listeners {
		chains := l.GetFilterChains()
		if l.GetDefaultFilterChain() != nil {
			chains = append(slices.Clone(chains), l.GetDefaultFilterChain())
		}
		for _, chain := range chains {
			for _, filter := range chain.GetFilters() {
				manager := &hcmv3.HttpConnectionManager{}
				if !filter.GetTypedConfig().MessageIs(manager) {
					continue
				}
				if err := filter.GetTypedConfig().UnmarshalTo(manager); err != nil {
					return nil, fmt.Errorf("read a filter of listener %s: %w", l.GetName(), err)
				}
				if name := manager.GetRds().GetRouteConfigName(); name != "" {
					names = append(names, name)
				}
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func nodeType(n *corev3.Node) string {
	kind, _, _ := strings.Cut(n.GetId(), "~")
	return kind
}
