package workloads

import (
	"slices"
	"strings"

	"github.com/meshfleet/meshfleet/internal/istio"
)

const (
	injectKey  = "sidecar.istio.io/inject"
	defaultTag = "default"
)

// optedOut is why a pod that says so is skipped, with or without a proxy.
const optedOut = "opted out of injection"

// selection is the revision that a new pod would get.
type selection struct {
	revision string
	// skip says why the operator does not move the pod, although it may have a proxy.
	skip string
}

// choose follows the selectors of the injection webhooks: a namespace's istio-injection beats its istio.io/rev, and a
// pod's own labels count only in a namespace that has neither. Where nothing asks, the tag default may inject by default.
func choose(namespace map[string]string, pod Marks, r Request) selection {
	injection, hasInjection := namespace[istio.InjectionLabel]
	name, hasRevision := namespace[istio.RevisionLabel]
	switch {
	case hasInjection:
		name = ""
		if injection == "enabled" {
			name = defaultTag
		}
	case hasRevision:
	case pod.Revision != "":
		name = pod.Revision
	case pod.In, r.InjectsByDefault && !pod.Labelled && istio.IsInjectedByDefault(namespace):
		name = defaultTag
	}
	revision, isTag := r.Tags[name]
	switch {
	case name == "":
		return selection{skip: "has a proxy, but no label asks for one: a restart would take it away"}
	case pod.Out:
		return selection{skip: optedOut}
	case pod.HostNetwork:
		return selection{skip: "is on the host's network, where pods get no proxy"}
	case isTag:
		return selection{revision: revision}
	case slices.Contains(r.Revisions, name):
		return selection{skip: "is pinned to revision " + name + " by a label"}
	}
	return selection{skip: "a label asks for " + name + ", which is neither a tag nor an installed revision: a restart would take the proxy away"}
}

// marks reads the marks of a pod or pod template.
func marks(labels, annotations map[string]string, hostNetwork bool) Marks {
	m := Marks{Revision: labels[istio.RevisionLabel], In: labels[injectKey] == "true", HostNetwork: hostNetwork}
	// The label beats the annotation. What is not a way to say yes means no.
	value, found := labels[injectKey]
	if !found {
		value = annotations[injectKey]
	}
	m.Labelled = found
	m.Out = value != "" && !slices.Contains([]string{"true", "yes", "y", "on"}, strings.ToLower(value))
	return m
}
