package testutil

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	inspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"

	rawv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Endpoints are those of one cluster.
type Endpoints = endpointv3.ClusterLoadAssignment

// EnvoyConfig is the configuration of one proxy.
type EnvoyConfig struct {
	Clusters  []*clusterv3.Cluster
	Endpoints []*endpointv3.ClusterLoadAssignment
	Listeners []*listenerv3.Listener
	Routes    []*routev3.RouteConfiguration
}

// Messages are all resources.
func (c EnvoyConfig) Messages() []proto.Message {
	var out []proto.Message
	for _, r := range c.Clusters {
		out = append(out, r)
	}
	for _, r := range c.Endpoints {
		out = append(out, r)
	}
	for _, r := range c.Listeners {
		out = append(out, r)
	}
	for _, r := range c.Routes {
		out = append(out, r)
	}
	return out
}

// Names in SidecarConfig.
const (
	WebCluster   = "outbound|80||web.demo.svc.cluster.local"
	APICluster   = "outbound|80||api.demo.svc.cluster.local"
	LocalCluster = "inbound|8080||"
)

// SidecarConfig is the configuration of a sidecar in a small mesh with strict mutual TLS: one HTTP port, at which two
// services are called and traffic of one is split, one TCP service, and an application that only one client may call.
func SidecarConfig() EnvoyConfig {
	return EnvoyConfig{
		Clusters: []*clusterv3.Cluster{
			meshCluster(WebCluster, "web"), meshCluster(APICluster, "api"), meshCluster("outbound|5432||db.demo.svc.cluster.local", "db"),
			{Name: LocalCluster, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST}},
			{Name: "PassthroughCluster", ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST}},
		},
		Endpoints: []*endpointv3.ClusterLoadAssignment{
			Assignment(WebCluster, "10.1.0.1", "10.1.0.2", "172.30.0.9"), Assignment(APICluster, "10.1.0.3"),
			Assignment("outbound|5432||db.demo.svc.cluster.local", "10.1.0.4"),
		},
		Listeners: []*listenerv3.Listener{
			listener("0.0.0.0_80", "0.0.0.0", 80, Chain(nil, nil, httpFilter(nil, "80", nil, "envoy.filters.http.fault"))),
			listener("10.0.0.5_5432", "10.0.0.5", 5432, Chain(nil, nil, tcpFilter("outbound|5432||db.demo.svc.cluster.local"))),
			inbound(),
		},
		Routes: []*routev3.RouteConfiguration{{Name: "80", VirtualHosts: []*routev3.VirtualHost{
			{Name: "web.demo.svc.cluster.local:80", Domains: []string{"web", "web.demo", "10.0.0.1"}, Routes: []*routev3.Route{
				Route("/api", map[string]uint32{APICluster: 1}), Route("/", map[string]uint32{WebCluster: 90, APICluster: 10})}},
			{Name: "allow_any", Domains: []string{"*"}, Routes: []*routev3.Route{Route("/", map[string]uint32{"PassthroughCluster": 1})}},
		}}},
	}
}

func inbound() *listenerv3.Listener {
	l := listener("virtualInbound", "0.0.0.0", 15006,
		Chain(&listenerv3.FilterChainMatch{DestinationPort: wrapperspb.UInt32(8080), TransportProtocol: "tls",
			ApplicationProtocols: []string{"istio", "istio-h2"}}, Server(), httpFilter(&routev3.RouteConfiguration{Name: "inbound|8080||",
			VirtualHosts: []*routev3.VirtualHost{{Name: "inbound|http|80", Domains: []string{"*"}, Routes: []*routev3.Route{Route("/", map[string]uint32{LocalCluster: 1})}}}},
			"", onlyClients("client"), "envoy.filters.http.fault")),
		Chain(&listenerv3.FilterChainMatch{TransportProtocol: "tls"}, Server(), tcpFilter("PassthroughCluster")))
	l.ListenerFilters = []*listenerv3.ListenerFilter{
		{Name: "envoy.filters.listener.original_dst"},
		{Name: "envoy.filters.listener.tls_inspector", ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: Any(&inspectorv3.TlsInspector{})}},
	}
	l.TrafficDirection = corev3.TrafficDirection_INBOUND
	return l
}

// Any packs a message.
func Any(m proto.Message) *anypb.Any {
	packed, err := anypb.New(m)
	if err != nil {
		panic(err) // Only messages that are not valid cannot be packed.
	}
	return packed
}

func meshCluster(name, account string) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name: name, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}, ConnectTimeout: durationpb.New(10e9),
		TransportSocketMatches: []*clusterv3.Cluster_TransportSocketMatch{
			{Name: "tlsMode-istio", Match: tlsMode(), TransportSocket: Client("spiffe://cluster.local/ns/demo/sa/" + account)},
			{Name: "tlsMode-disabled", Match: &structpb.Struct{}, TransportSocket: &corev3.TransportSocket{Name: "envoy.transport_sockets.raw_buffer",
				ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: Any(&rawv3.RawBuffer{})}}},
		},
		Metadata: &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"istio": {Fields: map[string]*structpb.Value{
			"services": structpb.NewStringValue(name)}}}},
	}
}

func tlsMode() *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{"tlsMode": structpb.NewStringValue("istio")}}
}

// Assignment is the endpoints of a cluster, all with sidecars.
func Assignment(cluster string, addresses ...string) *endpointv3.ClusterLoadAssignment {
	group := &endpointv3.LocalityLbEndpoints{}
	for _, a := range addresses {
		group.LbEndpoints = append(group.LbEndpoints, &endpointv3.LbEndpoint{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address(a, 8080)}},
			Metadata:       &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"envoy.transport_socket_match": tlsMode()}},
		})
	}
	return &endpointv3.ClusterLoadAssignment{ClusterName: cluster, Endpoints: []*endpointv3.LocalityLbEndpoints{group}}
}

func address(host string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: host,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}}}
}

func listener(name, host string, port uint32, chains ...*listenerv3.FilterChain) *listenerv3.Listener {
	return &listenerv3.Listener{Name: name, Address: address(host, port), FilterChains: chains, TrafficDirection: corev3.TrafficDirection_OUTBOUND}
}

// Chain takes some connections to filters.
func Chain(match *listenerv3.FilterChainMatch, tls *corev3.TransportSocket, filters ...*listenerv3.Filter) *listenerv3.FilterChain {
	return &listenerv3.FilterChain{FilterChainMatch: match, TransportSocket: tls, Filters: filters}
}
