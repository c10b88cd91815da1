package configdiff

import (
	"fmt"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	internalv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/internal_upstream/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"
	quicv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/quic/v3"
	rawv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

type fields = map[string]*structpb.Value

// profile is how safe a connection is.
type profile struct {
	encrypted bool
	// verifies that the peer's certificate is signed by somebody who is trusted.
	verifies bool
	// presents a certificate of our own.
	presents bool
	// requires a certificate of the client.
	requires bool
	// names that the peer's certificate may have; any, when there are none.
	names []string
	// oldest version of TLS that is accepted.
	oldest tlsv3.TlsParameters_TlsProtocol
	// other is the type of a transport that is neither TLS nor plain text.
	other string
}

// profileOf reads a transport socket. None at all is plain text.
func profileOf(s *corev3.TransportSocket) (profile, error) {
	if s.GetTypedConfig() == nil {
		return profile{}, nil
	}
	m, err := unpack(s.GetTypedConfig())
	if err != nil {
		return profile{}, fmt.Errorf("read transport socket %q: %w", s.GetName(), err)
	}
	switch t := m.(type) {
	case *rawv3.RawBuffer:
		return profile{}, nil
	case *internalv3.InternalUpstreamTransport:
		return profileOf(t.GetTransportSocket())
	case *proxyprotocolv3.ProxyProtocolUpstreamTransport:
		return profileOf(t.GetTransportSocket())
	case *tlsv3.UpstreamTlsContext:
		return contextProfile(t.GetCommonTlsContext(), false), nil
	case *quicv3.QuicUpstreamTransport:
		return contextProfile(t.GetUpstreamTlsContext().GetCommonTlsContext(), false), nil
	case *tlsv3.DownstreamTlsContext:
		return contextProfile(t.GetCommonTlsContext(), t.GetRequireClientCertificate().GetValue()), nil
	case *quicv3.QuicDownstreamTransport:
		inner := t.GetDownstreamTlsContext()
		return contextProfile(inner.GetCommonTlsContext(), inner.GetRequireClientCertificate().GetValue()), nil
	}
	return profile{other: s.GetTypedConfig().GetTypeUrl()}, nil
}

func contextProfile(c *tlsv3.CommonTlsContext, requires bool) profile {
	p := profile{encrypted: true, requires: requires, oldest: c.GetTlsParams().GetTlsMinimumProtocolVersion()}
	p.presents = len(c.GetTlsCertificates())+len(c.GetTlsCertificateSdsSecretConfigs()) > 0 || c.GetTlsCertificateProviderInstance() != nil
	context := c.GetValidationContext()
	if combined := c.GetCombinedValidationContext(); combined != nil {
		context = combined.GetDefaultValidationContext()
		p.verifies = combined.GetValidationContextSdsSecretConfig() != nil
	}
	p.verifies = p.verifies || c.GetValidationContextSdsSecretConfig() != nil || context.GetTrustedCa() != nil ||
		context.GetCaCertificateProviderInstance() != nil || context.GetCustomValidatorConfig() != nil || context.GetSystemRootCerts() != nil
	if context.GetTrustChainVerification() == tlsv3.CertificateValidationContext_ACCEPT_UNTRUSTED {
		p.verifies = false
	}
	for _, m := range context.GetMatchTypedSubjectAltNames() {
		p.names = append(p.names, nameText(m.GetMatcher()))
	}
	for _, m := range context.GetMatchSubjectAltNames() { //nolint:staticcheck // Istio still writes the deprecated field.
		p.names = append(p.names, nameText(m))
	}
	slices.Sort(p.names)
	p.names = slices.Compact(p.names)
	return p
}

func nameText(m *matcherv3.StringMatcher) string {
	switch {
	case m.GetExact() != "":
		return m.GetExact()
	case m.GetPrefix() != "":
		return m.GetPrefix() + "*"
	case m.GetSuffix() != "":
		return "*" + m.GetSuffix()
	}
	return canonical(m)
}

// sockets compares two ways to connect, or to be connected to. It says whether it has found something harmful.
func (d *diff) sockets(subject, which string, before, after *corev3.TransportSocket) (told bool, err error) {
	from, err := profileOf(before)
	if err != nil {
		return false, err
	}
	to, err := profileOf(after)
	if err != nil {
		return false, err
	}
	if d.compareTLS(subject, which, from, to) {
		return true, nil
	}
	if before != nil && after != nil {
		d.changedIn(subject, which+"transport socket ", before, after)
	} else if before.GetTypedConfig() != nil || after.GetTypedConfig() != nil {
		if from.encrypted != to.encrypted {
			d.add(Changed, subject, "%sTLS is new", which)
		}
	}
	return false, nil
}

// compareTLS finds what makes connections less safe than before, or impossible, and says whether there is something.
func (d *diff) compareTLS(subject, which string, before, after profile) (told bool) {
	if before.other != after.other {
		d.add(TLSWeakened, subject, "%stransport %s is replaced by %s", which, transport(before), transport(after))
		return true
	}
	if before.encrypted && !after.encrypted {
		kind := "TLS"
		if before.presents && before.verifies {
			kind = "mutual TLS"
		}
		d.add(TLSWeakened, subject, "%s%s is gone", which, kind)
		return true
	}
	for what, isWeaker := range map[string]bool{
		"the peer's certificate is not verified any more": before.verifies && !after.verifies,
		"no certificate is presented any more":            before.presents && !after.presents,
		"clients need no certificate any more":            before.requires && !after.requires,
		"the peer's name is not checked any more":         len(before.names) > 0 && len(after.names) == 0,
		"an older version of TLS is accepted":             after.encrypted && before.encrypted && olderThan(after.oldest, before.oldest),
	} {
		if isWeaker {
			d.add(TLSWeakened, subject, "%s%s", which, what)
			told = true
		}
	}
	if len(after.names) == 0 {
		return told
	}
	was, is := possible(before.names), possible(after.names)
	if more := missing(is, was); len(more) > 0 && len(before.names) > 0 {
		d.add(TLSWeakened, subject, "%sthe peer may also be %s", which, few(more))
		told = true
	}
	if gone := missing(was, is); len(gone) > 0 {
		d.add(IdentitiesLost, subject, "%sthe peer may no longer be %s", which, few(gone))
		told = true
	}
	return told
}

// possible leaves out names that no certificate can have: istiod makes SPIFFE IDs without a trust domain for pods whose
// domain it does not know yet.
func possible(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return strings.HasPrefix(name, "spiffe:///") })
}

// olderThan compares versions, of which the zero one is Envoy's default: TLS 1.2.
func olderThan(a, b tlsv3.TlsParameters_TlsProtocol) bool {
	effective := func(v tlsv3.TlsParameters_TlsProtocol) tlsv3.TlsParameters_TlsProtocol {
		if v == tlsv3.TlsParameters_TLS_AUTO {
			return tlsv3.TlsParameters_TLSv1_2
		}
		return v
	}
	return effective(a) < effective(b)
}

func transport(p profile) string {
	switch {
	case p.other != "":
		return p.other
	case p.encrypted:
		return "TLS"
	}
	return "plain text"
}
