package configdiff

import (
	"fmt"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
)

// chain is a filter chain and the connections that it takes.
type chain struct {
	chain *listenerv3.FilterChain
	match *listenerv3.FilterChainMatch
	// name tells chains apart that a matching tree chooses by name.
	name string
	text string
}

// of names the chain of a listener.
func (c chain) of(listener string) string {
	if c.text == "" {
		return listener
	}
	return listener + ", " + c.text
}

func chainsOf(l *listenerv3.Listener) []chain {
	var out []chain
	for _, c := range l.GetFilterChains() {
		entry := chain{chain: c, match: c.GetFilterChainMatch()}
		if l.GetFilterChainMatcher() != nil {
			entry.name = c.GetName()
		}
		entry.text = entry.describe(len(l.GetFilterChains()) > 1 || l.GetDefaultFilterChain() != nil)
		out = append(out, entry)
	}
	if c := l.GetDefaultFilterChain(); c != nil {
		out = append(out, chain{chain: c, name: "\x00default", text: "that no other chain takes"})
	}
	return out
}

// counterpart finds the chain that takes the same connections, or else one that takes them among others.
func counterpart(c chain, among []chain) *chain {
	var wider *chain
	for i := range among {
		if c.name != among[i].name || !covers(among[i].match, c.match) {
			continue
		}
		if covers(c.match, among[i].match) {
			return &among[i]
		}
		if wider == nil || covers(wider.match, among[i].match) {
			wider = &among[i]
		}
	}
	return wider
}

func anyCovers(list []chain, c chain) bool {
	return slices.ContainsFunc(list, func(wide chain) bool { return covers(wide.match, c.match) })
}

// covers says that whatever narrow matches is matched by wide too. A criterion that is not there matches everything;
// one that is a list matches any of its elements.
func covers(wide, narrow *listenerv3.FilterChainMatch) bool {
	return coversOne(wide.GetDestinationPort().GetValue(), narrow.GetDestinationPort().GetValue()) &&
		coversOne(wide.GetTransportProtocol(), narrow.GetTransportProtocol()) &&
		coversOne(wide.GetSourceType(), narrow.GetSourceType()) &&
		coversOne(wide.GetAddressSuffix(), narrow.GetAddressSuffix()) &&
		coversOne(wide.GetSuffixLen().GetValue(), narrow.GetSuffixLen().GetValue()) &&
		coversAny(ranges(wide.GetPrefixRanges()), ranges(narrow.GetPrefixRanges())) &&
		coversAny(ranges(wide.GetSourcePrefixRanges()), ranges(narrow.GetSourcePrefixRanges())) &&
		coversAny(ranges(wide.GetDirectSourcePrefixRanges()), ranges(narrow.GetDirectSourcePrefixRanges())) &&
		coversAny(wide.GetSourcePorts(), narrow.GetSourcePorts()) &&
		coversAny(wide.GetServerNames(), narrow.GetServerNames()) &&
		coversAny(wide.GetApplicationProtocols(), narrow.GetApplicationProtocols())
}

func coversOne[T comparable](wide, narrow T) bool {
	var unset T
	return wide == unset || wide == narrow
}

func coversAny[T comparable](wide, narrow []T) bool {
	if len(wide) == 0 {
		return true
	}
	return len(narrow) > 0 && !slices.ContainsFunc(narrow, func(e T) bool { return !slices.Contains(wide, e) })
}

func ranges(list []*corev3.CidrRange) []string {
	var out []string
	for _, r := range list {
		out = append(out, fmt.Sprintf("%s/%d", r.GetAddressPrefix(), r.GetPrefixLen().GetValue()))
	}
	return out
}

// describe says which connections are taken; nothing, when there is only this chain and it takes all.
func (c chain) describe(isOneOfMany bool) string {
	m := c.match
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if c.name != "" {
		add("by the matcher's name %s", c.name)
	}
	if port := m.GetDestinationPort(); port != nil {
		add("at port %d", port.GetValue())
	}
	if list := ranges(m.GetPrefixRanges()); len(list) > 0 {
		add("to %s", few(sorted(list)))
	}
	if list := ranges(m.GetSourcePrefixRanges()); len(list) > 0 {
		add("from %s", few(sorted(list)))
	}
	switch protocol := m.GetTransportProtocol(); protocol {
	case "":
	case "tls":
		add("with TLS")
	case "raw_buffer":
		add("without TLS")
	default:
		add("with %s", protocol)
	}
	if list := m.GetServerNames(); len(list) > 0 {
		add("for %s", few(sorted(list)))
	}
	if list := m.GetApplicationProtocols(); len(list) > 0 {
		add("of protocol %s", few(sorted(list)))
	}
	if len(parts) == 0 && isOneOfMany {
		return "of any kind"
	}
	return strings.Join(parts, " ")
}
