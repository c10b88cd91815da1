package configdiff

import (
	"fmt"
	"slices"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	authzhttpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	rbachttpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	authzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/ext_authz/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// filter is a filter of any kind: of a listener, of a chain, or of HTTP requests.
type filter struct {
	name     string
	config   *anypb.Any
	disabled bool
}

// lists compares filters that run one after the other. Those that both have are in the result, as pairs.
func (d *diff) lists(subject, kind string, before, after []filter) [][2]filter {
	before, after = enabled(before), enabled(after)
	after = renamed(before, after)
	was, is := names(before), names(after)
	for _, name := range missing(was, is) {
		d.add(FiltersLost, subject, "%s %s is gone", kind, name)
	}
	for _, name := range missing(is, was) {
		d.add(Added, subject, "%s %s is new", kind, name)
	}
	if isReordered(was, is) {
		d.add(FiltersReordered, subject, "%ss run in another order: %s", kind, strings.Join(without(is, missing(is, was)), ", "))
	}
	var pairs [][2]filter
	used := make([]bool, len(after))
	for _, b := range before {
		for i, a := range after {
			if !used[i] && a.name == b.name {
				used[i] = true
				pairs = append(pairs, [2]filter{b, a})
				break
			}
		}
	}
	return pairs
}

func enabled(list []filter) []filter {
	var out []filter
	for _, f := range list {
		if !f.disabled {
			out = append(out, f)
		}
	}
	return out
}

// renamed gives filters that only have another name the former one: the type tells them, if nothing else has it.
func renamed(before, after []filter) []filter {
	was, is := names(before), names(after)
	out := append([]filter(nil), after...)
	for i := range out {
		if len(missing([]string{out[i].name}, was)) == 0 {
			continue
		}
		var same []string
		for _, b := range before {
			if b.config.GetTypeUrl() == out[i].config.GetTypeUrl() && len(missing([]string{b.name}, is)) > 0 {
				same = append(same, b.name)
			}
		}
		if len(same) == 1 && out[i].config != nil {
			out[i].name = same[0]
			is = names(out)
		}
	}
	return out
}

func names(list []filter) []string {
	out := make([]string, 0, len(list))
	for _, f := range list {
		out = append(out, f.name)
	}
	return out
}

// networkFilters compares the filters of two chains that take the same connections.
func (d *diff) networkFilters(subject string, before, after *listenerv3.FilterChain) error {
	for _, pair := range d.lists(subject, "filter", networkFilters(before), networkFilters(after)) {
		was, is, err := unpackBoth(pair)
		if err != nil {
			return err
		}
		switch b := was.(type) {
		case *hcmv3.HttpConnectionManager:
			if a, ok := is.(*hcmv3.HttpConnectionManager); ok {
				err = d.httpManager(subject, b, a)
			}
		case *tcpv3.TcpProxy:
			if a, ok := is.(*tcpv3.TcpProxy); ok {
				d.destinations(subject, "connections", tcpTargets(b), tcpTargets(a))
				d.changed(subject, b, a)
			}
		default:
			d.filterConfig(subject, pair, was, is)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func networkFilters(c *listenerv3.FilterChain) []filter {
	var out []filter
	for _, f := range c.GetFilters() {
		out = append(out, filter{name: f.GetName(), config: f.GetTypedConfig()})
	}
	return out
}

func unpackBoth(pair [2]filter) (before, after proto.Message, err error) {
	if before, err = unpack(pair[0].config); err != nil {
		return nil, nil, fmt.Errorf("filter %s: %w", pair[0].name, err)
	}
	if after, err = unpack(pair[1].config); err != nil {
		return nil, nil, fmt.Errorf("filter %s: %w", pair[1].name, err)
	}
	return before, after, nil
}

// httpManager compares how HTTP is handled: the filters and the routes.
func (d *diff) httpManager(subject string, before, after *hcmv3.HttpConnectionManager) error {
	for _, pair := range d.lists(subject, "HTTP filter", httpFilters(before), httpFilters(after)) {
		was, is, err := unpackBoth(pair)
		if err != nil {
			return err
		}
		d.filterConfig(subject, pair, was, is)
	}
	for _, path := range differences(before, after) {
		class := Changed
		if startsWith(path, originFields) {
			class = AuthorizationChanged
		}
		d.add(class, subject, "%s", path)
	}
	d.routeConfigs(subject, d.before.routesOf(before), d.after.routesOf(after))
	return nil
}

// originFields say whom a request counts as coming from, which rules and applications rely on.
var originFields = []string{"forward_client_cert_details", "set_current_client_cert_details", "use_remote_address",
	"xff_num_trusted_hops", "original_ip_detection_extensions"}

func startsWith(path string, fields []string) bool {
	return slices.ContainsFunc(fields, func(field string) bool { return strings.HasPrefix(path, field) })
}

func httpFilters(m *hcmv3.HttpConnectionManager) []filter {
	var out []filter
	for _, f := range m.GetHttpFilters() {
		out = append(out, filter{name: f.GetName(), config: f.GetTypedConfig(), disabled: f.GetDisabled()})
	}
	return out
}

// routesOf are the routes that HTTP is routed by; nil, when istiod has not sent what the listener refers to.
func (x *index) routesOf(m *hcmv3.HttpConnectionManager) *routev3.RouteConfiguration {
	if m.GetRouteConfig() != nil {
		return m.GetRouteConfig()
	}
	return x.routes[m.GetRds().GetRouteConfigName()]
}

// filterConfig compares the settings of one filter.
func (d *diff) filterConfig(subject string, pair [2]filter, before, after proto.Message) {
	name := pair[0].name
	switch {
	case before == nil || after == nil:
		if !proto.Equal(pair[0].config, pair[1].config) {
			d.add(Changed, subject, "filter %s is set in another way", name)
		}
		return
	case isAuthorization(before) && !proto.Equal(before, after):
		for _, path := range differences(before, after) {
			d.add(AuthorizationChanged, subject, "filter %s: %s", name, path)
		}
		return
	}
	for _, path := range differences(before, after) {
		d.add(Changed, subject, "filter %s: %s", name, path)
	}
}

// isAuthorization tells filters that decide who may do what.
func isAuthorization(m proto.Message) bool {
	switch m.(type) {
	case *rbachttpv3.RBAC, *rbachttpv3.RBACPerRoute, *rbacv3.RBAC, *jwtv3.JwtAuthentication, *jwtv3.PerRouteConfig,
		*authzhttpv3.ExtAuthz, *authzhttpv3.ExtAuthzPerRoute, *authzv3.ExtAuthz:
		return true
	}
	return false
}
