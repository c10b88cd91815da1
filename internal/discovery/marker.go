package discovery

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshfleet/meshfleet/internal/plan"
)

// markerPort is the port of the marker's Service. Nothing listens there.
const markerPort = 15443

// Marker is a Service without pods whose one endpoint changes after each renewal of the member's reader token: a peer whose istiod
// knows the address receives what is new in the member. Proxies never see the Service, because it is exported to no namespace
// (annotation networking.istio.io/exportTo), so that a change is pushed to none.
func Marker(namespace, address string) []*unstructured.Unstructured {
	return []*unstructured.Unstructured{
		{Object: map[string]any{
			"apiVersion": "v1", "kind": "Service",
			"metadata": map[string]any{
				"name": plan.DiscoveryMarkerName, "namespace": namespace,
				"annotations": map[string]any{"networking.istio.io/exportTo": "~"},
			},
			"spec": map[string]any{"ports": []any{
				map[string]any{"name": "tcp-marker", "port": int64(markerPort), "protocol": "TCP", "targetPort": int64(markerPort)},
			}},
		}},
		{Object: map[string]any{
			"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
			"metadata": map[string]any{
				"name": plan.DiscoveryMarkerName, "namespace": namespace,
				"labels": map[string]any{"kubernetes.io/service-name": plan.DiscoveryMarkerName},
			},
			"addressType": "IPv4",
			"endpoints":   []any{map[string]any{"addresses": []any{address}, "conditions": map[string]any{"ready": true}}},
			"ports":       []any{map[string]any{"name": "tcp-marker", "port": int64(markerPort), "protocol": "TCP"}},
		}},
	}
}
