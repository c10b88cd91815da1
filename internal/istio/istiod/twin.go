package istiod

import (
	"fmt"
	"maps"
	"net/netip"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// revisionLabel is on pods of gateways, whose chart sets it.
const revisionLabel = "istio.io/rev"

// Addresses for documentation, which no pod has.
var (
	nowhere4 = netip.MustParseAddr("192.0.2.1")
	nowhere6 = netip.MustParseAddr("2001:db8::1")
)

// Twin is a node that istiod configures like a proxy: as one of the given revision and release, in the same pod.
//
// It has the proxy's name, because istiod finds the pod by it, and with the pod the services whose port it serves. When
// a stream begins that is the only way: what a node says of its labels is used too late. The name is for people only; a
// debug endpoint that is asked for the proxy may show the twin while its stream is open. The addresses are its own, so
// that istiod keeps telling the proxy, and not the twin, that the pod has changed. Metadata by which istiod would write a
// WorkloadEntry is left out.
func Twin(of Client, revision, version string) (*corev3.Node, error) {
	namespace := of.Text("NAMESPACE")
	if namespace == "" {
		return nil, fmt.Errorf("proxy %s has no namespace in its metadata", of.ID)
	}
	metadata := maps.Clone(of.Metadata)
	for _, field := range []string{"AUTO_REGISTER_GROUP", "WORKLOAD_ENTRY"} {
		delete(metadata, field)
	}
	addresses := unused(of.Text(instanceIPs))
	metadata[instanceIPs] = strings.Join(addresses, ",")
	metadata["ISTIO_VERSION"] = version
	metadata["ISTIO_REVISION"] = revision
	metadata["LABELS"] = labelsFor(of.Labels, revision)
	fields, err := structpb.NewStruct(metadata)
	if err != nil {
		return nil, fmt.Errorf("write the metadata of proxy %s: %w", of.ID, err)
	}
	node := &corev3.Node{
		Id: fmt.Sprintf("%s~%s~%s~%s.svc.cluster.local", of.Type, addresses[0], of.ID, namespace),
		// The name of Envoy's own cluster, which nothing depends on.
		Cluster:  "meshfleet." + namespace,
		Metadata: fields,
	}
	if l := of.Locality; l != nil {
		node.Locality = &corev3.Locality{Region: l.Region, Zone: l.Zone, SubZone: l.SubZone}
	}
	return node, nil
}

// isTwin tells a twin by its address.
func isTwin(c Client) bool {
	first, _, _ := strings.Cut(c.Text(instanceIPs), ",")
	return first == nowhere4.String() || first == nowhere6.String()
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
