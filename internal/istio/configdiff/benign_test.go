package configdiff

import (
	"slices"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshfleet/meshfleet/internal/testutil"
)

// benign differences are written in other ways, or add to what is there.
var benign = map[string]func(*config){
	"nothing": func(*config) {},
	"resources come in another order": func(c *config) {
		slices.Reverse(c.Clusters)
		slices.Reverse(c.Listeners)
		slices.Reverse(c.Endpoints)
	},
	"endpoints and domains come in another order": func(c *config) {
		slices.Reverse(c.Endpoints[0].Endpoints[0].LbEndpoints)
		slices.Reverse(c.Routes[0].VirtualHosts[0].Domains)
		slices.Reverse(c.Routes[0].VirtualHosts)
	},
	"services of other clusters have their address in another one": func(c *config) {
		c.Listeners[1].Name = "10.9.0.5_5432"
		c.Listeners[1].Address.GetSocketAddress().Address = "10.9.0.5"
		c.Routes[0].VirtualHosts[0].Domains[2] = "10.9.0.1"
	},
	"filter chains come in another order": func(c *config) { slices.Reverse(c.Listeners[2].FilterChains) },
	"listeners, chains and routes have other names": func(c *config) {
		for _, l := range c.Listeners {
			l.Name += "_1-29-1"
			for _, chain := range l.FilterChains {
				chain.Name = "1-29-1"
			}
		}
		c.Routes[0].Name = "http.80"
		testutil.EditHTTP(c.Listeners[0].FilterChains[0], func(m *hcmv3.HttpConnectionManager) {
			m.RouteSpecifier = &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: "http.80"}}
		})
		c.Routes[0].VirtualHosts[0].Name = "web"
	},
	"a filter has another name": func(c *config) {
		testutil.EditHTTP(inboundChain(c, 0), func(m *hcmv3.HttpConnectionManager) { m.HttpFilters[0].Name = "istio.rbac" })
	},
	"metadata names another object": func(c *config) { c.Clusters[0].Metadata.FilterMetadata["istio"] = &structpb.Struct{} },
	"the same weights on another scale": func(c *config) {
		c.Routes[0].VirtualHosts[0].Routes[1] = testutil.Route("/", map[string]uint32{testutil.WebCluster: 9, testutil.APICluster: 1})
	},
	"an identity that no certificate can have": func(c *config) {
		c.Clusters[0].TransportSocketMatches[0].TransportSocket = testutil.Client("spiffe:///ns/demo/sa/web", "spiffe://cluster.local/ns/demo/sa/web")
	},
	"the same identity in another field": func(c *config) {
		c.Clusters[0].TransportSocketMatches[0].TransportSocket = untyped("spiffe://cluster.local/ns/demo/sa/web")
	},
	"the same version of TLS is spelled out": func(c *config) {
		tls := &tlsv3.DownstreamTlsContext{}
		if err := inboundChain(c, 0).TransportSocket.GetTypedConfig().UnmarshalTo(tls); err != nil {
			panic(err)
		}
		tls.CommonTlsContext.TlsParams = &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2}
		inboundChain(c, 0).TransportSocket.ConfigType = &corev3.TransportSocket_TypedConfig{TypedConfig: testutil.Any(tls)}
	},
	"a filter chain takes more protocols": func(c *config) {
		inboundChain(c, 0).FilterChainMatch.ApplicationProtocols = []string{"istio-h2", "istio-peer-exchange", "istio"}
	},
	"there is more than before": func(c *config) {
		c.Clusters = append(c.Clusters, &clusterv3.Cluster{Name: "outbound|80||new.demo.svc.cluster.local"})
		c.Listeners = append(c.Listeners, &listenerv3.Listener{Name: "10.0.0.7_443"})
		c.Listeners[2].FilterChains = append(c.Listeners[2].FilterChains, testutil.Chain(
			&listenerv3.FilterChainMatch{DestinationPort: wrapperspb.UInt32(9090), TransportProtocol: "tls"}, testutil.Server()))
		c.Endpoints[1] = testutil.Assignment(testutil.APICluster, "10.1.0.3", "10.1.0.8")
		c.Routes[0].VirtualHosts = append(c.Routes[0].VirtualHosts, &routev3.VirtualHost{Name: "new", Domains: []string{"new"}})
		c.Routes[0].VirtualHosts[0].Routes = append(c.Routes[0].VirtualHosts[0].Routes, testutil.Route("/new", map[string]uint32{testutil.APICluster: 1}))
		testutil.EditHTTP(inboundChain(c, 0), func(m *hcmv3.HttpConnectionManager) {
			m.HttpFilters = append([]*hcmv3.HttpFilter{{Name: "new"}}, m.HttpFilters...)
		})
	},
	"timeouts have another length": func(c *config) {
		c.Clusters[0].ConnectTimeout = durationpb.New(5e9)
		c.Clusters[1].ConnectTimeout = durationpb.New(5e9)
		c.Routes[0].VirtualHosts[0].Routes[0].GetRoute().Timeout = durationpb.New(15e9)
		c.Routes[0].VirtualHosts[0].Routes[0].GetRoute().RetryPolicy = &routev3.RetryPolicy{RetryOn: "5xx"}
	},
	"what was plain text is encrypted": func(c *config) {
		c.Clusters[3].TransportSocket = testutil.Client("spiffe://cluster.local/ns/demo/sa/web")
	},
}

func TestBenign(t *testing.T) {
	for name, edit := range benign {
		t.Run(name, func(t *testing.T) {
			r := report(t, edit)
			if harmful := r.Proxies(Harmful()); len(harmful) > 0 {
				t.Errorf("something harmful is found")
			}
			testutil.Golden(t, r.String())
		})
	}
}
