// Package istio has Istio's labels and annotations on what runs in a cluster, and what they mean. The names are those of
// https://istio.io/latest/docs/reference/config/labels/ and https://istio.io/latest/docs/reference/config/annotations/.
package istio

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

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
	// TemplatesAnnotation names the injection templates of a pod. Default: those of the installation.
	TemplatesAnnotation = "inject.istio.io/templates"
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

// injection is what the injector has noted on a pod.
type injection struct {
	Revision string   `json:"revision"`
	Volumes  []string `json:"volumes"`
}

// injectionOf reads the note. One that cannot be read says nothing.
func injectionOf(p *corev1.Pod) (i injection) {
	if json.Unmarshal([]byte(p.Annotations[InjectedAnnotation]), &i) != nil {
		return injection{}
	}
	return i
}

// InjectedRevision is the revision whose istiod has injected a pod, or made it for a Gateway. The template grpc-simple adds no annotation:
// there the injector's note has it.
func InjectedRevision(p *corev1.Pod) string {
	if revision := p.Annotations[RevisionLabel]; revision != "" || !HasProxy(p) {
		return revision
	}
	return injectionOf(p).Revision
}

// ProxyRevision is the revision of a pod's proxy, or empty if it has none that runs or may run.
func ProxyRevision(p *corev1.Pod) string {
	if !HasProxy(p) || HasFinished(p) {
		return ""
	}
	return InjectedRevision(p)
}

// IsProxyless is true for a pod whose application speaks xDS itself, by gRPC and without an Envoy. It connects to istiod when the
// application needs it, which may be never.
func IsProxyless(p *corev1.Pod) bool {
	isEnvoy := false
	isProxyless := false
	for name := range strings.SplitSeq(p.Annotations[TemplatesAnnotation], ",") {
		switch strings.TrimSpace(name) {
		case "sidecar", "gateway":
			isEnvoy = true
		case "grpc-agent", "grpc-simple":
			isProxyless = true
		}
	}
	if isEnvoy || isProxyless {
		return !isEnvoy
	}
	// The templates may be the installation's, or have other names. Only these volumes tell.
	volumes := injectionOf(p).Volumes
	return !slices.Contains(volumes, "istio-envoy") &&
		(slices.Contains(volumes, "istio-xds") || slices.Contains(volumes, "grpc-io-proxyless-bootstrap"))
}

// lostAfter is how long a pod that is being deleted counts after the end of its grace period.
const lostAfter = time.Minute

// IsOverdue is true for a pod that should have been gone for a minute, as its deletionTimestamp says. Its node does not answer, or
// something holds it, and nobody can say when it goes. Zero: it is not being deleted.
func IsOverdue(deletion, now time.Time) bool {
	return !deletion.IsZero() && now.After(deletion.Add(lostAfter))
}

// IsLost is true for a pod that IsOverdue. It uses no revision, unless istiod reports that its proxy is connected, and nothing waits
// for it.
func IsLost(p *corev1.Pod, now time.Time) bool {
	return p.DeletionTimestamp != nil && IsOverdue(p.DeletionTimestamp.Time, now)
}

// LostName names a lost pod and its node for a message.
func LostName(namespace, name, node string) string {
	if node == "" {
		return namespace + "/" + name
	}
	return namespace + "/" + name + " on node " + node
}

// LostPods says which pods are lost, and the cure. The names are given as a list.
func LostPods(names string) string {
	return "not counted, because they should have stopped more than a minute ago: pods " + names +
		": delete the Node if it is gone, or else the pods with --force"
}

// IsIstiod is true for a pod of an istiod in a namespace.
func IsIstiod(p *corev1.Pod, namespace string) bool {
	return p.Namespace == namespace && p.Labels["app"] == "istiod"
}

// AcceptsProxies is true for an istiod pod to which proxies may be connected: one whose process runs, or of which no status is known.
func AcceptsProxies(p *corev1.Pod, now time.Time) bool {
	states := p.Status.ContainerStatuses
	return !HasFinished(p) && !IsLost(p, now) &&
		(len(states) == 0 || slices.ContainsFunc(states, func(c corev1.ContainerStatus) bool { return c.State.Running != nil }))
}

// ProxyID is the name under which istiod knows the proxy of a pod.
func ProxyID(p *corev1.Pod) string { return p.Name + "." + p.Namespace }
