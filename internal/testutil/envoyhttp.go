package testutil

import (
	"fmt"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	rbachttpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func tcpFilter(cluster string) *listenerv3.Filter {
	return &listenerv3.Filter{Name: "envoy.filters.network.tcp_proxy", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: Any(
		&tcpv3.TcpProxy{StatPrefix: cluster, ClusterSpecifier: &tcpv3.TcpProxy_Cluster{Cluster: cluster}})}}
}

// httpFilter handles HTTP with inline routes, or else with those of a name.
func httpFilter(inline *routev3.RouteConfiguration, routes string, rules *rbacv3.RBAC, others ...string) *listenerv3.Filter {
	m := &hcmv3.HttpConnectionManager{StatPrefix: "http"}
	if inline != nil {
		m.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: inline}
	} else {
		m.RouteSpecifier = &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: routes}}
	}
	add := func(name string, config proto.Message) {
		m.HttpFilters = append(m.HttpFilters, &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: Any(config)}})
	}
	if rules != nil {
		add("envoy.filters.http.rbac", &rbachttpv3.RBAC{Rules: rules})
	}
	for _, name := range others {
		add(name, &faultv3.HTTPFault{})
	}
	add("envoy.filters.http.router", &routerv3.Router{})
	return &listenerv3.Filter{Name: "envoy.filters.network.http_connection_manager", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: Any(m)}}
}

func onlyClients(names ...string) *rbacv3.RBAC {
	policies := map[string]*rbacv3.Policy{}
	for _, name := range names {
		policies[fmt.Sprintf("ns[demo]-policy[%s]-rule[0]", name)] = &rbacv3.Policy{
			Permissions: []*rbacv3.Permission{{Rule: &rbacv3.Permission_Any{Any: true}}},
			Principals: []*rbacv3.Principal{{Identifier: &rbacv3.Principal_Authenticated_{Authenticated: &rbacv3.Principal_Authenticated{
				PrincipalName: &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: "cluster.local/ns/demo/sa/" + name}}}}}},
		}
	}
	return &rbacv3.RBAC{Action: rbacv3.RBAC_ALLOW, Policies: policies}
}

// Route takes requests of a prefix to clusters with these weights.
func Route(prefix string, weights map[string]uint32) *routev3.Route {
	action := &routev3.RouteAction{Timeout: durationpb.New(0)}
	list := &routev3.WeightedCluster{}
	for name, weight := range weights {
		action.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: name}
		list.Clusters = append(list.Clusters, &routev3.WeightedCluster_ClusterWeight{Name: name, Weight: wrapperspb.UInt32(weight)})
	}
	if len(weights) > 1 {
		action.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: list}
	}
	return &routev3.Route{Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: prefix}},
		Action: &routev3.Route_Route{Route: action}}
}

// EditHTTP changes how a chain handles HTTP.
func EditHTTP(c *listenerv3.FilterChain, edit func(*hcmv3.HttpConnectionManager)) {
	for _, f := range c.GetFilters() {
		m := &hcmv3.HttpConnectionManager{}
		if f.GetTypedConfig().UnmarshalTo(m) == nil {
			edit(m)
			f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: Any(m)}
		}
	}
}
