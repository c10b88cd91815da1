package configdiff

import (
	"fmt"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

func (d *diff) clusters() error {
	for _, name := range sortedKeys(d.before.clusters) {
		subject := "cluster " + name
		before := d.before.clusters[name]
		after, ok := d.after.clusters[name]
		if !ok {
			d.add(ClustersLost, subject, "is gone")
			continue
		}
		told, err := d.upstreamTLS(subject, before, after)
		if err != nil {
			return err
		}
		if err := d.endpoints(subject, before, after, told); err != nil {
			return err
		}
		d.changed(subject, before, after)
	}
	for _, name := range sortedKeys(d.after.clusters) {
		if _, ok := d.before.clusters[name]; !ok {
			d.add(Added, "cluster "+name, "is new")
		}
	}
	return nil
}

// upstreamTLS compares how endpoints are connected to. Which of the sockets of a cluster is used depends on the
// endpoint's metadata: every kind of endpoint for which there is a socket is looked at.
func (d *diff) upstreamTLS(subject string, before, after *clusterv3.Cluster) (told bool, err error) {
	kinds := []fields{nil}
	for _, m := range before.GetTransportSocketMatches() {
		kinds = append(kinds, m.GetMatch().GetFields())
	}
	for _, kind := range kinds {
		which := ""
		if len(kind) > 0 {
			which = "to endpoints with " + fieldsText(kind) + ": "
		}
		found, err := d.sockets(subject, which, socketFor(before, kind), socketFor(after, kind))
		if err != nil {
			return false, fmt.Errorf("%s: %w", subject, err)
		}
		told = told || found
	}
	return told, nil
}

func upstreamProfile(c *clusterv3.Cluster, metadata fields) (profile, error) {
	return profileOf(socketFor(c, metadata))
}

// socketFor chooses as Envoy does: the first match all of whose fields the endpoint has.
func socketFor(c *clusterv3.Cluster, metadata fields) *corev3.TransportSocket {
	for _, m := range c.GetTransportSocketMatches() {
		if hasAll(metadata, m.GetMatch().GetFields()) {
			return m.GetTransportSocket()
		}
	}
	return c.GetTransportSocket()
}

func hasAll(metadata, wanted fields) bool {
	for field, value := range wanted {
		if got, ok := metadata[field]; !ok || canonical(got) != canonical(value) {
			return false
		}
	}
	return true
}

func fieldsText(list fields) string {
	text := ""
	for _, name := range sortedKeys(list) {
		if text != "" {
			text += ", "
		}
		text += name + "=" + fmt.Sprint(list[name].AsInterface())
	}
	return text
}
