// Package istio has Istio's labels and annotations on what runs in a cluster, and what they mean. The names are those of
// https://istio.io/latest/docs/reference/config/labels/ and https://istio.io/latest/docs/reference/config/annotations/.
package istio

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

const (
	// RevisionLabel names a revision or a tag: as a label of a namespace, a pod template or a pod it asks for a proxy of it, as a
	// label of an istiod and as an annotation of an injected pod it is the revision itself.
	RevisionLabel = "istio.io/rev"
	// TagLabel is on the webhook and on the Service of a tag.
	TagLabel = "istio.io/tag"
	// InjectedAnnotation is on every pod that the injector has given a proxy.
	InjectedAnnotation = "sidecar.istio.io/status"
	// ManagedGatewayLabel is on everything that istiod makes for a Gateway of the Gateway API.
	ManagedGatewayLabel = "gateway.istio.io/managed"
)

// HasProxy is true for a pod that was injected, and for one that istiod made for a Gateway.
func HasProxy(p *corev1.Pod) bool {
	return p.Annotations[InjectedAnnotation] != "" || p.Labels[ManagedGatewayLabel] != ""
}

// HasFinished is true for a pod whose containers have ended for good.
func HasFinished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// IsReady is true for a pod whose condition Ready is true.
func IsReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// ProxyRevision is the revision of a pod's proxy, or empty if it has none that runs or may run.
func ProxyRevision(p *corev1.Pod) string {
	if !HasProxy(p) || HasFinished(p) {
		return ""
	}
	return p.Annotations[RevisionLabel]
}

// IsIstiod is true for a pod of an istiod in a namespace.
func IsIstiod(p *corev1.Pod, namespace string) bool {
	return p.Namespace == namespace && p.Labels["app"] == "istiod"
}

// AcceptsProxies is true for an istiod pod to which proxies may be connected: one whose process runs, or of which no status is known.
func AcceptsProxies(p *corev1.Pod) bool {
	states := p.Status.ContainerStatuses
	return !HasFinished(p) &&
		(len(states) == 0 || slices.ContainsFunc(states, func(c corev1.ContainerStatus) bool { return c.State.Running != nil }))
}

// ProxyID is the name under which istiod knows the proxy of a pod.
func ProxyID(p *corev1.Pod) string { return p.Name + "." + p.Namespace }
