package configdiff

import (
	"slices"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	authzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	rbachttpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/meshfleet/meshfleet/internal/testutil"
)

type config = testutil.EnvoyConfig

// inboundChain is a chain of virtualInbound.
func inboundChain(c *config, i int) *listenerv3.FilterChain { return c.Listeners[2].FilterChains[i] }

func plainChain(match *listenerv3.FilterChainMatch, like *listenerv3.FilterChain) *listenerv3.FilterChain {
	return testutil.Chain(match, nil, like.GetFilters()...)
}

// untyped is how Istio writes which identity a peer must have: in a field that Envoy has deprecated.
func untyped(name string) *corev3.TransportSocket {
	socket, tls := testutil.Client(name), &tlsv3.UpstreamTlsContext{}
	if err := socket.GetTypedConfig().UnmarshalTo(tls); err != nil {
		panic(err)
	}
	context := tls.GetCommonTlsContext().GetCombinedValidationContext().GetDefaultValidationContext()
	context.MatchSubjectAltNames = []*matcherv3.StringMatcher{context.GetMatchTypedSubjectAltNames()[0].GetMatcher()} //nolint:staticcheck // As Istio does.
	context.MatchTypedSubjectAltNames = nil
	socket.ConfigType = &corev3.TransportSocket_TypedConfig{TypedConfig: testutil.Any(tls)}
	return socket
}

// regressions are what a proxy loses, by what the case is called.
var regressions = map[string]func(*config){
	"automatic mutual TLS is off": func(c *config) {
		for _, cluster := range c.Clusters {
			cluster.TransportSocketMatches = nil
		}
	},
	"the default socket comes first": func(c *config) { slices.Reverse(c.Clusters[0].TransportSocketMatches) },
	"endpoints are no longer known to have sidecars": func(c *config) {
		c.Endpoints[0].Endpoints[0].LbEndpoints[1].Metadata = nil
	},
	"peers are not verified": func(c *config) {
		c.Clusters[0].TransportSocketMatches[0].TransportSocket.ConfigType = &corev3.TransportSocket_TypedConfig{TypedConfig: testutil.Any(
			&tlsv3.UpstreamTlsContext{CommonTlsContext: &tlsv3.CommonTlsContext{TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{{Name: "default"}}}})}
	},
	"another peer is accepted too": func(c *config) {
		c.Clusters[0].TransportSocketMatches[0].TransportSocket = testutil.Client("spiffe://cluster.local/ns/demo/sa/web", "spiffe://cluster.local/ns/demo/sa/evil")
	},
	"a peer's identity is not accepted": func(c *config) {
		c.Clusters[0].TransportSocketMatches[0].TransportSocket = testutil.Client("spiffe://cluster.local/ns/demo/sa/other")
	},
	"a peer's identity is not accepted, in Istio's way to write it": func(c *config) {
		c.Clusters[0].TransportSocketMatches[0].TransportSocket = untyped("spiffe://cluster.local/ns/demo/sa/other")
	},
	"identities have no trust domain": func(c *config) {
		c.Clusters[0].TransportSocketMatches[0].TransportSocket = testutil.Client("spiffe:///ns/demo/sa/web")
	},
	"mutual TLS is permissive": func(c *config) {
		l, tls := c.Listeners[2], inboundChain(c, 0)
		l.FilterChains = append(l.FilterChains,
			plainChain(&listenerv3.FilterChainMatch{DestinationPort: wrapperspb.UInt32(8080), TransportProtocol: "raw_buffer"}, tls))
	},
	"clients need no certificate": func(c *config) {
		tls := &tlsv3.DownstreamTlsContext{}
		if err := inboundChain(c, 0).TransportSocket.GetTypedConfig().UnmarshalTo(tls); err != nil {
			panic(err)
		}
		tls.RequireClientCertificate = nil
		tls.CommonTlsContext.TlsParams = &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_0}
		inboundChain(c, 0).TransportSocket.ConfigType = &corev3.TransportSocket_TypedConfig{TypedConfig: testutil.Any(tls)}
	},
	"a listener is gone":     func(c *config) { c.Listeners = append(c.Listeners[:1:1], c.Listeners[2:]...) },
	"a filter chain is gone": func(c *config) { c.Listeners[2].FilterChains = c.Listeners[2].FilterChains[:1] },
	"a filter chain takes less": func(c *config) {
		inboundChain(c, 0).FilterChainMatch.ApplicationProtocols = []string{"istio"}
	},
	"authorization is gone": func(c *config) {
		testutil.EditHTTP(inboundChain(c, 0), func(m *hcmv3.HttpConnectionManager) { m.HttpFilters = m.HttpFilters[1:] })
	},
	"authorization is disabled": func(c *config) {
		testutil.EditHTTP(inboundChain(c, 0), func(m *hcmv3.HttpConnectionManager) { m.HttpFilters[0].Disabled = true })
	},
	"another client is allowed": func(c *config) {
		testutil.EditHTTP(inboundChain(c, 0), func(m *hcmv3.HttpConnectionManager) {
			rules := &rbachttpv3.RBAC{}
			if err := m.HttpFilters[0].GetTypedConfig().UnmarshalTo(rules); err != nil {
				panic(err)
			}
			rules.Rules.Policies["ns[demo]-policy[evil]-rule[0]"] = rules.Rules.Policies["ns[demo]-policy[client]-rule[0]"]
			m.HttpFilters[0].ConfigType = &hcmv3.HttpFilter_TypedConfig{TypedConfig: testutil.Any(rules)}
		})
	},
	"callers may say who they are": func(c *config) {
		testutil.EditHTTP(inboundChain(c, 0), func(m *hcmv3.HttpConnectionManager) {
			m.ForwardClientCertDetails = hcmv3.HttpConnectionManager_ALWAYS_FORWARD_ONLY
		})
	},
	"tokens are checked by other rules": func(c *config) { withTokens(c, "/", "/admin") },
	"external authorization fails open": func(c *config) { withExternal(c, true) },
	"a host no longer demands TLS": func(c *config) {
		c.Routes[0].VirtualHosts[0].RequireTls = routev3.VirtualHost_NONE
	},
	"authorization runs late": func(c *config) {
		testutil.EditHTTP(inboundChain(c, 0), func(m *hcmv3.HttpConnectionManager) {
			m.HttpFilters[0], m.HttpFilters[1] = m.HttpFilters[1], m.HttpFilters[0]
		})
	},
	"the TLS inspector is gone": func(c *config) { c.Listeners[2].ListenerFilters = c.Listeners[2].ListenerFilters[:1] },
	"HTTP is taken for TCP": func(c *config) {
		c.Listeners[0].FilterChains[0].Filters = c.Listeners[1].FilterChains[0].Filters
	},
	"a cluster is gone":          func(c *config) { c.Clusters = c.Clusters[1:] },
	"a cluster has no endpoints": func(c *config) { c.Endpoints[1].Endpoints = nil },
	"a peer cannot be read":      func(c *config) { c.Endpoints[0] = testutil.Assignment(testutil.WebCluster, "10.1.0.1", "10.1.0.2") },
	"an endpoint is unhealthy": func(c *config) {
		c.Endpoints[0].Endpoints[0].LbEndpoints[0].HealthStatus = corev3.HealthStatus_UNHEALTHY
	},
	"the routes are gone":        func(c *config) { c.Routes = nil },
	"a host is gone":             func(c *config) { c.Routes[0].VirtualHosts = c.Routes[0].VirtualHosts[1:] },
	"a domain is gone":           func(c *config) { c.Routes[0].VirtualHosts[0].Domains = []string{"web", "web.demo"} },
	"a route is gone":            func(c *config) { c.Routes[0].VirtualHosts[0].Routes = c.Routes[0].VirtualHosts[0].Routes[1:] },
	"routes come in other order": func(c *config) { slices.Reverse(c.Routes[0].VirtualHosts[0].Routes) },
	"a route is never reached": func(c *config) {
		r := testutil.Route("/", map[string]uint32{testutil.WebCluster: 1})
		r.Match.CaseSensitive = wrapperspb.Bool(true)
		c.Routes[0].VirtualHosts[0].Routes = append([]*routev3.Route{r}, c.Routes[0].VirtualHosts[0].Routes...)
	},
	"a route leads elsewhere": func(c *config) {
		c.Routes[0].VirtualHosts[0].Routes[0] = testutil.Route("/api", map[string]uint32{testutil.WebCluster: 1})
	},
	"traffic is split otherwise": func(c *config) {
		c.Routes[0].VirtualHosts[0].Routes[1] = testutil.Route("/", map[string]uint32{testutil.WebCluster: 50, testutil.APICluster: 50})
	},
	"unknown destinations are blocked": func(c *config) {
		c.Routes[0].VirtualHosts[1].Routes[0].Action = &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 502}}
	},
	"a path is rewritten": func(c *config) {
		c.Routes[0].VirtualHosts[0].Routes[0].GetRoute().PrefixRewrite = "/v2"
	},
	"a fault is no longer injected": func(c *config) { c.Routes[0].VirtualHosts[0].Routes[0].TypedPerFilterConfig = nil },
}

// withTokens checks tokens by rules for these prefixes, of which the first wins.
func withTokens(c *config, prefixes ...string) {
	tokens := &jwtv3.JwtAuthentication{}
	for _, prefix := range prefixes {
		tokens.Rules = append(tokens.Rules, &jwtv3.RequirementRule{Match: testutil.Route(prefix, nil).GetMatch()})
	}
	setFilter(c, "envoy.filters.http.jwt_authn", tokens)
}

func withExternal(c *config, failOpen bool) {
	setFilter(c, "envoy.filters.http.ext_authz", &authzv3.ExtAuthz{FailureModeAllow: failOpen})
}

// setFilter adds an HTTP filter to those of the application, or replaces it.
func setFilter(c *config, name string, settings proto.Message) {
	filter := &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: testutil.Any(settings)}}
	testutil.EditHTTP(inboundChain(c, 0), func(m *hcmv3.HttpConnectionManager) {
		i := slices.IndexFunc(m.HttpFilters, func(f *hcmv3.HttpFilter) bool { return f.GetName() == name })
		if i < 0 {
			m.HttpFilters = slices.Insert(m.HttpFilters, 1, filter)
			return
		}
		m.HttpFilters[i] = filter
	})
}

func baseline() config {
	c := testutil.SidecarConfig()
	withTokens(&c, "/admin", "/")
	withExternal(&c, false)
	c.Routes[0].VirtualHosts[0].RequireTls = routev3.VirtualHost_ALL
	c.Routes[0].VirtualHosts[0].Routes[0].TypedPerFilterConfig = map[string]*anypb.Any{"envoy.filters.http.fault": testutil.Any(&routev3.FilterConfig{IsOptional: true})}
	return c
}

// report compares the baseline with an edited one and writes what is found.
func report(t *testing.T, edit func(*config)) *Report {
	t.Helper()
	after := baseline()
	edit(&after)
	findings, err := Compare(Config(baseline()), Config(after))
	if err != nil {
		t.Fatalf("Compare: %v", err)
	}
	r := &Report{}
	r.Add("client-0.demo", findings)
	return r
}

func TestRegressions(t *testing.T) {
	for name, edit := range regressions {
		t.Run(name, func(t *testing.T) {
			r := report(t, edit)
			if len(r.Proxies(Harmful())) == 0 {
				t.Errorf("nothing harmful is found")
			}
			testutil.Golden(t, r.String())
		})
	}
}

// Every harmful class is found somewhere, so that none of them is a promise only.
func TestRegressionsShowEveryClass(t *testing.T) {
	seen := map[Class]bool{}
	for _, edit := range regressions {
		for f := range report(t, edit).found {
			seen[f.Class] = true
		}
	}
	for _, class := range Harmful() {
		if !seen[class] {
			t.Errorf("no regression shows %s", class)
		}
	}
}

func TestCompareWantsToUnderstandFilters(t *testing.T) {
	after := baseline()
	manager := after.Listeners[0].FilterChains[0].Filters[0]
	manager.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: &anypb.Any{TypeUrl: manager.GetTypedConfig().GetTypeUrl(), Value: []byte{1}}}
	if findings, err := Compare(Config(baseline()), Config(after)); err == nil {
		t.Errorf("Compare: %v, want an error about what cannot be read", findings)
	}
}
