package discovery

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshfleet/meshfleet/internal/mesh"
)

// markerPort is the port of the marker's Service. Nothing listens there.
const markerPort = 15443

// nowhere is a namespace without proxies. A Service that is exported to none at all (`~`) does not do: istiod keeps its first
// endpoints and passes over every change (serviceNeedsPush in its Kubernetes registry).
const nowhere = "meshfleet-nowhere"

// Marker is a Service without pods whose one endpoint changes after each renewal of the member's reader token: a peer whose istiod
// knows the address receives what is new in the member. No proxy is told of it, because of the namespace that it is exported to.
func Marker(namespace, address string) []*unstructured.Unstructured {
	return []*unstructured.Unstructured{
		{Object: map[string]any{
			"apiVersion": "v1", "kind": "Service",
			"metadata": map[string]any{
				"name": mesh.DiscoveryMarkerName, "namespace": namespace,
				"annotations": map[string]any{"networking.istio.io/exportTo": nowhere},
			},
			"spec": map[string]any{"ports": []any{
				map[string]any{"name": "tcp-marker", "port": int64(markerPort), "protocol": "TCP", "targetPort": int64(markerPort)},
			}},
		}},
		{Object: map[string]any{
			"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
			"metadata": map[string]any{
				"name": mesh.DiscoveryMarkerName, "namespace": namespace,
				"labels": map[string]any{"kubernetes.io/service-name": mesh.DiscoveryMarkerName},
			},
			"addressType": "IPv4",
			"endpoints":   []any{map[string]any{"addresses": []any{address}, "conditions": map[string]any{"ready": true}}},
			"ports":       []any{map[string]any{"name": "tcp-marker", "port": int64(markerPort), "protocol": "TCP"}},
		}},
	}
}
