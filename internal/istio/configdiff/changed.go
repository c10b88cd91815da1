package configdiff

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// elsewhere are fields that are compared by what they mean, by their message's type.
var elsewhere = map[protoreflect.FullName][]protoreflect.Name{
	"envoy.config.cluster.v3.Cluster":                                                   {"name", "load_assignment", "transport_socket", "transport_socket_matches"},
	"envoy.config.listener.v3.Listener":                                                 {"name", "address", "filter_chains", "default_filter_chain", "listener_filters"},
	"envoy.config.listener.v3.FilterChain":                                              {"name", "filters", "filter_chain_match", "transport_socket"},
	"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager": {"http_filters", "route_config", "rds"},
	"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy":                            {"cluster", "weighted_clusters"},
	"envoy.config.route.v3.RouteConfiguration":                                          {"name", "virtual_hosts"},
	"envoy.config.route.v3.VirtualHost":                                                 {"name", "domains", "routes", "typed_per_filter_config"},
	"envoy.config.route.v3.Route":                                                       {"name", "match", "typed_per_filter_config"},
	"envoy.config.route.v3.RouteAction":                                                 {"cluster", "weighted_clusters", "request_mirror_policies"},
	"envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext":            {"match_typed_subject_alt_names", "match_subject_alt_names"},
}

// originKey is where istiod says which of the users' objects something was made from. Nothing but telemetry reads it.
const originKey = "istio"

// changed reports every difference of fields that are not compared elsewhere.
func (d *diff) changed(subject string, before, after proto.Message) {
	d.changedIn(subject, "", before, after)
}

func (d *diff) changedIn(subject, which string, before, after proto.Message) {
	for _, path := range differences(before, after) {
		d.add(Changed, subject, "%s%s", which, path)
	}
}

// differences describes how two messages of one type differ, field by field. Both messages must be there.
func differences(before, after proto.Message) []string {
	w := &walker{}
	w.message("", before.ProtoReflect(), after.ProtoReflect())
	return w.out
}

type walker struct{ out []string }

func (w *walker) add(path, format string, args ...any) {
	w.out = append(w.out, strings.TrimSpace(strings.TrimPrefix(path, ".")+" "+fmt.Sprintf(format, args...)))
}

func (w *walker) message(path string, a, b protoreflect.Message) {
	if a.Descriptor() != b.Descriptor() {
		w.add(path, "%s → %s", a.Descriptor().Name(), b.Descriptor().Name())
		return
	}
	name := a.Descriptor().FullName()
	switch {
	case name == "google.protobuf.Any":
		w.any(path, a.Interface(), b.Interface())
		return
	case name.Parent() == "google.protobuf":
		if !proto.Equal(a.Interface(), b.Interface()) {
			w.add(path, "%s → %s", brief(a.Interface()), brief(b.Interface()))
		}
		return
	}
	list := a.Descriptor().Fields()
	for i := range list.Len() {
		field := list.Get(i)
		if !slices.Contains(elsewhere[name], field.Name()) {
			w.field(path+"."+string(field.Name()), field, a, b)
		}
	}
}

func (w *walker) any(path string, a, b proto.Message) {
	before, okA := a.(*anypb.Any)
	after, okB := b.(*anypb.Any)
	if !okA || !okB || proto.Equal(a, b) {
		return
	}
	x, errX := unpack(before)
	y, errY := unpack(after)
	if x == nil || y == nil || errX != nil || errY != nil {
		w.add(path, "is set in another way")
		return
	}
	w.message(path, x.ProtoReflect(), y.ProtoReflect())
}

func (w *walker) field(path string, field protoreflect.FieldDescriptor, a, b protoreflect.Message) {
	hasA, hasB := a.Has(field), b.Has(field)
	switch {
	case !hasA && !hasB:
	case field.IsList():
		w.list(path, field, a.Get(field).List(), b.Get(field).List())
	case field.IsMap():
		w.maps(path, field, a.Get(field).Map(), b.Get(field).Map())
	case field.Message() != nil && hasA && hasB:
		w.message(path, a.Get(field).Message(), b.Get(field).Message())
	case field.Message() != nil && hasA:
		w.add(path, "is no longer %s", brief(a.Get(field).Message().Interface()))
	case field.Message() != nil:
		w.add(path, "is now %s", brief(b.Get(field).Message().Interface()))
	case !a.Get(field).Equal(b.Get(field)):
		w.add(path, "%s → %s", scalar(field, a.Get(field)), scalar(field, b.Get(field)))
	}
}

// firstWins is a list of which the first element counts that fits.
const firstWins = "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication.rules"

// list ignores the order: where it means something, lists are compared elsewhere, but for one.
func (w *walker) list(path string, field protoreflect.FieldDescriptor, a, b protoreflect.List) {
	keysA, keysB := elements(field, a), elements(field, b)
	gone, fresh := missing(keysA, keysB), missing(keysB, keysA)
	switch {
	case len(gone)+len(fresh) == 0 && field.FullName() == firstWins && isReordered(keysA, keysB):
		w.add(path, "come in another order")
	case len(gone)+len(fresh) == 0:
	case field.Message() != nil && len(gone) == 1 && len(fresh) == 1:
		w.message(path, a.Get(slices.Index(keysA, gone[0])).Message(), b.Get(slices.Index(keysB, fresh[0])).Message())
	case field.Message() != nil:
		w.add(path, "has %d other elements than before, of %d", max(len(gone), len(fresh)), max(a.Len(), b.Len()))
	default:
		w.add(path, "[%s] → [%s]", strings.Join(keysA, " "), strings.Join(keysB, " "))
	}
}

func elements(field protoreflect.FieldDescriptor, list protoreflect.List) []string {
	out := make([]string, 0, list.Len())
	for i := range list.Len() {
		if field.Message() != nil {
			out = append(out, canonical(list.Get(i).Message().Interface()))
		} else {
			out = append(out, scalar(field, list.Get(i)))
		}
	}
	return out
}

func (w *walker) maps(path string, field protoreflect.FieldDescriptor, a, b protoreflect.Map) {
	keys := map[string]protoreflect.MapKey{}
	collect := func(k protoreflect.MapKey, _ protoreflect.Value) bool { keys[k.String()] = k; return true }
	a.Range(collect)
	b.Range(collect)
	for _, name := range sortedKeys(keys) {
		key := keys[name]
		if field.ContainingMessage().FullName() == "envoy.config.core.v3.Metadata" && name == originKey {
			continue
		}
		at := path + "[" + name + "]"
		switch {
		case !b.Has(key):
			w.add(at, "is gone")
		case !a.Has(key):
			w.add(at, "is new")
		case field.MapValue().Message() != nil:
			w.message(at, a.Get(key).Message(), b.Get(key).Message())
		case !a.Get(key).Equal(b.Get(key)):
			w.add(at, "%s → %s", scalar(field.MapValue(), a.Get(key)), scalar(field.MapValue(), b.Get(key)))
		}
	}
}

func scalar(field protoreflect.FieldDescriptor, v protoreflect.Value) string {
	if e := field.Enum(); e != nil {
		if value := e.Values().ByNumber(v.Enum()); value != nil {
			return string(value.Name())
		}
	}
	switch {
	case field.Kind() == protoreflect.BytesKind:
		return fmt.Sprintf("%d bytes", len(v.Bytes()))
	case v.String() == "":
		return `""`
	}
	return v.String()
}
