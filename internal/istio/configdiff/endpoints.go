package configdiff

import (
	"fmt"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
)

// socketMatch is where the metadata of an endpoint has what chooses its socket.
const socketMatch = "envoy.transport_socket_match"

// endpoints compares addresses, and how each one is connected to unless that has been told of the whole cluster.
func (d *diff) endpoints(subject string, before, after *clusterv3.Cluster, isTold bool) error {
	was, is := addresses(d.before, before), addresses(d.after, after)
	var gone, fresh []string
	for _, address := range sortedKeys(was) {
		e, ok := is[address]
		switch {
		case !ok:
			gone = append(gone, address)
			continue
		case isTold:
			continue
		}
		from, err := upstreamProfile(before, was[address].metadata())
		if err != nil {
			return fmt.Errorf("%s: %w", subject, err)
		}
		to, err := upstreamProfile(after, e.metadata())
		if err != nil {
			return fmt.Errorf("%s: %w", subject, err)
		}
		d.compareTLS(subject, "to endpoint "+address+": ", from, to)
		if was[address].priority != e.priority {
			d.add(Changed, subject, "priority of an endpoint %d → %d", was[address].priority, e.priority)
		}
	}
	for _, address := range sortedKeys(is) {
		if _, ok := was[address]; !ok {
			fresh = append(fresh, address)
		}
	}
	switch {
	case len(gone) > 0 && len(is) == 0:
		d.add(EndpointsLost, subject, "has no endpoint any more")
	case len(gone) > 0:
		d.add(EndpointsLost, subject, "no longer leads to %s", few(gone))
	}
	if len(fresh) > 0 {
		d.add(Added, subject, "also leads to %s", few(fresh))
	}
	return nil
}

type endpoint struct {
	*endpointv3.LbEndpoint
	priority uint32
}

func (e endpoint) metadata() fields {
	return e.GetMetadata().GetFilterMetadata()[socketMatch].GetFields()
}

// unfit are endpoints that get no requests.
var unfit = []corev3.HealthStatus{corev3.HealthStatus_UNHEALTHY, corev3.HealthStatus_DRAINING, corev3.HealthStatus_TIMEOUT}

// addresses are the endpoints of a cluster that requests are sent to, wherever they are listed.
func addresses(x *index, c *clusterv3.Cluster) map[string]endpoint {
	assignment := c.GetLoadAssignment()
	if c.GetType() == clusterv3.Cluster_EDS {
		name := c.GetEdsClusterConfig().GetServiceName()
		if name == "" {
			name = c.GetName()
		}
		assignment = x.endpoints[name]
	}
	out := map[string]endpoint{}
	for _, group := range assignment.GetEndpoints() {
		for _, e := range group.GetLbEndpoints() {
			if !slices.Contains(unfit, e.GetHealthStatus()) {
				out[addressText(e.GetEndpoint().GetAddress())] = endpoint{e, group.GetPriority()}
			}
		}
	}
	return out
}

func addressText(a *corev3.Address) string {
	switch {
	case a.GetSocketAddress() != nil:
		s := a.GetSocketAddress()
		if s.GetNamedPort() != "" {
			return s.GetAddress() + ":" + s.GetNamedPort()
		}
		return fmt.Sprintf("%s:%d", s.GetAddress(), s.GetPortValue())
	case a.GetPipe() != nil:
		return a.GetPipe().GetPath()
	case a.GetEnvoyInternalAddress() != nil:
		return a.GetEnvoyInternalAddress().GetServerListenerName() + " " + a.GetEnvoyInternalAddress().GetEndpointId()
	}
	return canonical(a)
}
