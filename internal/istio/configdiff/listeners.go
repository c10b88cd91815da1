package configdiff

import (
	"fmt"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
)

// whereabouts identify a listener: where it listens, because releases name listeners as they like.
func whereabouts(l *listenerv3.Listener) string {
	switch {
	case l.GetInternalListener() != nil || l.GetAddress() == nil:
		return l.GetName()
	case l.GetAddress().GetSocketAddress().GetProtocol() == corev3.SocketAddress_UDP:
		return addressText(l.GetAddress()) + " (UDP)"
	}
	return addressText(l.GetAddress())
}

func (d *diff) listeners() error {
	moved := map[*listenerv3.Listener]bool{}
	for _, key := range sortedKeys(d.before.listeners) {
		before := d.before.listeners[key]
		subject := "listener " + key
		if before.GetName() != key {
			subject = fmt.Sprintf("listener %s (%s)", before.GetName(), key)
		}
		after, ok := d.after.listeners[key]
		if !ok {
			var err error
			if after, err = d.readdressed(before); err != nil {
				return fmt.Errorf("%s: %w", subject, err)
			}
			if after == nil {
				d.add(ListenersLost, subject, "is gone")
				continue
			}
			moved[after] = true
		}
		for _, pair := range d.lists(subject, "listener filter", listenerFilters(before), listenerFilters(after)) {
			was, is, err := unpackBoth(pair)
			if err != nil {
				return fmt.Errorf("%s: %w", subject, err)
			}
			d.filterConfig(subject, pair, was, is)
		}
		if err := d.chains(subject, before, after); err != nil {
			return fmt.Errorf("%s: %w", subject, err)
		}
		d.changed(subject, before, after)
	}
	for _, key := range sortedKeys(d.after.listeners) {
		if _, ok := d.before.listeners[key]; !ok && !moved[d.after.listeners[key]] {
			d.add(Added, "listener "+key, "is new")
		}
	}
	return nil
}

// readdressed finds the listener that leads to the same destinations at another address. A service that the proxy's own
// cluster does not have has an address in each of the others; istiod listens at that of the one which it has read first,
// and so another istiod at another one.
func (d *diff) readdressed(before *listenerv3.Listener) (*listenerv3.Listener, error) {
	want, err := destinationsOf(before)
	if err != nil || len(want) == 0 {
		return nil, err
	}
	port := before.GetAddress().GetSocketAddress().GetPortValue()
	for _, key := range sortedKeys(d.after.listeners) {
		after := d.after.listeners[key]
		if _, known := d.before.listeners[key]; known || after.GetAddress().GetSocketAddress().GetPortValue() != port {
			continue
		}
		got, err := destinationsOf(after)
		if err != nil {
			return nil, err
		}
		if slices.Equal(want, got) {
			return after, nil
		}
	}
	return nil, nil
}

// destinationsOf are the clusters and the routes to which a listener leads, sorted.
func destinationsOf(l *listenerv3.Listener) ([]string, error) {
	var out []string
	for _, c := range chainsOf(l) {
		for _, f := range networkFilters(c.chain) {
			config, err := unpack(f.config)
			if err != nil {
				return nil, err
			}
			switch config := config.(type) {
			case *tcpv3.TcpProxy:
				out = append(out, sortedKeys(tcpTargets(config))...)
			case *hcmv3.HttpConnectionManager:
				out = append(out, "routes "+config.GetRds().GetRouteConfigName())
			}
		}
	}
	return slices.Compact(sorted(out)), nil
}

func listenerFilters(l *listenerv3.Listener) []filter {
	var out []filter
	for _, f := range l.GetListenerFilters() {
		out = append(out, filter{name: f.GetName(), config: f.GetTypedConfig()})
	}
	return out
}

// chains compares the filter chains of a listener, matched by the connections that they take.
func (d *diff) chains(subject string, before, after *listenerv3.Listener) error {
	was, is := chainsOf(before), chainsOf(after)
	used := map[*listenerv3.FilterChain]bool{}
	for _, b := range was {
		name := b.of(subject)
		a := counterpart(b, is)
		if a == nil {
			d.add(ListenersLost, name, "takes no connections any more")
			continue
		}
		used[a.chain] = true
		if _, err := d.sockets(name, "", b.chain.GetTransportSocket(), a.chain.GetTransportSocket()); err != nil {
			return err
		}
		if err := d.networkFilters(name, b.chain, a.chain); err != nil {
			return err
		}
		d.changed(name, b.chain, a.chain)
	}
	for _, a := range is {
		if !used[a.chain] {
			d.add(Added, a.of(subject), "takes connections")
		}
	}
	return d.openings(subject, was, is)
}

// openings finds connections that must be made with TLS today, and need not be any more.
func (d *diff) openings(subject string, was, is []chain) error {
	var plain []chain
	terminates := false
	for _, c := range was {
		open, err := c.takesPlain()
		if err != nil {
			return err
		}
		if open {
			plain = append(plain, c)
		}
		terminates = terminates || c.chain.GetTransportSocket() != nil
	}
	if !terminates {
		return nil
	}
	for _, c := range is {
		open, err := c.takesPlain()
		if err != nil {
			return err
		}
		if open && !anyCovers(plain, c) {
			d.add(TLSWeakened, c.of(subject), "takes plain text")
		}
	}
	return nil
}

// takesPlain says that a connection without TLS may get into the chain. One that is passed on by its SNI is encrypted.
func (c chain) takesPlain() (bool, error) {
	protocol := c.match.GetTransportProtocol()
	if protocol != "" && protocol != "raw_buffer" {
		return false, nil
	}
	p, err := profileOf(c.chain.GetTransportSocket())
	return !p.encrypted && p.other == "", err
}
