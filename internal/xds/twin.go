package xds

import (
	"fmt"
	"maps"
	"net/netip"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	// twinPrefix begins the IDs of nodes that are no pods.
	twinPrefix = "meshfleet-configdiff-"
	// revisionLabel is on pods of gateways, whose chart sets it.
	revisionLabel = "istio.io/rev"
)

// Addresses for documentation, which no pod has.
var (
	nowhere4 = netip.MustParseAddr("192.0.2.1")
	nowhere6 = netip.MustParseAddr("2001:db8::1")
)

// Twin is a node that istiod configures like a proxy, and that is no pod: its name and its addresses are its own, so
// that istiod neither takes it for the proxy nor tells it what the proxy should hear. Metadata by which istiod would
// write a WorkloadEntry is left out. The twin belongs to the revision and the release that it is given.
//
// number keeps twins apart that exist at the same time.
func Twin(of Client, number int, revision, version string) (*corev3.Node, error) {
	metadata := maps.Clone(of.Metadata)
	if metadata == nil {
		metadata = map[string]any{}
	}
	namespace := of.Text("NAMESPACE")
	if namespace == "" {
		return nil, fmt.Errorf("proxy %s has no namespace in its metadata", of.ID)
	}
	for _, field := range []string{"AUTO_REGISTER_GROUP", "WORKLOAD_ENTRY"} {
		delete(metadata, field)
	}
	addresses := unused(of.Text("INSTANCE_IPS"))
	metadata["INSTANCE_IPS"] = strings.Join(addresses, ",")
	metadata["ISTIO_VERSION"] = version
	metadata["ISTIO_REVISION"] = revision
	metadata["LABELS"] = labelsFor(of.Labels, revision)
	fields, err := structpb.NewStruct(metadata)
	if err != nil {
		return nil, fmt.Errorf("write the metadata of proxy %s: %w", of.ID, err)
	}
	node := &corev3.Node{
		Id: fmt.Sprintf("%s~%s~%s%d.%s~%s.svc.cluster.local", of.Type, addresses[0], twinPrefix, number, namespace, namespace),
		// The name of Envoy's own cluster, which nothing depends on.
		Cluster:  twinPrefix + namespace,
		Metadata: fields,
	}
	if l := of.Locality; l != nil {
		node.Locality = &corev3.Locality{Region: l.Region, Zone: l.Zone, SubZone: l.SubZone}
	}
	return node, nil
}

// unused are addresses of the same families in the same order, because listeners depend on the families.
func unused(real string) []string {
	var out []string
	for text := range strings.SplitSeq(real, ",") {
		switch ip, err := netip.ParseAddr(strings.TrimSpace(text)); {
		case err != nil:
		case ip.Is4():
			out = append(out, nowhere4.String())
		default:
			out = append(out, nowhere6.String())
		}
	}
	if len(out) == 0 {
		return []string{nowhere4.String()}
	}
	return out
}

func labelsFor(labels map[string]string, revision string) map[string]any {
	out := make(map[string]any, len(labels))
	for key, value := range labels {
		out[key] = value
	}
	if _, ok := out[revisionLabel]; ok {
		out[revisionLabel] = revision
	}
	return out
}
