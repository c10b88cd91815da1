package istio

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// PassthroughPort is where peers connect to an east-west gateway with mutual TLS; the gateway routes by SNI without ending it.
const PassthroughPort = 15443

// GatewayKind is Istio's own kind of gateways, which selects the pods of gateways by their labels.
var GatewayKind = schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "Gateway"}

// GatewayList is an empty list of GatewayKind.
func GatewayList() *unstructured.UnstructuredList {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(GatewayKind.GroupVersion().WithKind("GatewayList"))
	return list
}

// HasServerAt is true for a Gateway that selects pods with the given labels and has a server at a port. Without a selector it selects the
// pods of every gateway. Two Gateways with a server at one port of the same pods may give Envoy two filter chains for one host, which it
// refuses with the whole listener.
func HasServerAt(gateway *unstructured.Unstructured, pod map[string]string, port int64) bool {
	selector, _, err := unstructured.NestedStringMap(gateway.Object, "spec", "selector")
	if err != nil || !labels.SelectorFromSet(selector).Matches(labels.Set(pod)) {
		return false
	}
	servers, _, err := unstructured.NestedSlice(gateway.Object, "spec", "servers")
	if err != nil {
		return false
	}
	for _, s := range servers {
		server, _ := s.(map[string]any)
		if number, _, err := unstructured.NestedInt64(server, "port", "number"); err == nil && number == port {
			return true
		}
	}
	return false
}
