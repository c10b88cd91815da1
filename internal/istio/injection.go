package istio

import "slices"

const (
	// InjectionLabel of a namespace asks for a proxy of the default tag, or for none. It beats RevisionLabel.
	InjectionLabel = "istio-injection"
	// namespaceNameLabel is on every namespace.
	namespaceNameLabel = "kubernetes.io/metadata.name"
)

// neverByDefault are the namespaces that the default tag's webhook leaves out where no label asks for a proxy.
var neverByDefault = []string{"kube-system", "kube-public", "kube-node-lease", "local-path-storage"}

// IsInjectedByDefault is true for the labels of a namespace whose pods get a proxy of the default tag without asking for it, if the
// control plane has the value sidecarInjectorWebhook.enableNamespacesByDefault.
func IsInjectedByDefault(namespace map[string]string) bool {
	_, hasInjection := namespace[InjectionLabel]
	_, hasRevision := namespace[RevisionLabel]
	return !hasInjection && !hasRevision && !slices.Contains(neverByDefault, namespace[namespaceNameLabel])
}
