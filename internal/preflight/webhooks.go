package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio"
)

// injectors are the makers of sidecars that would take a pod's traffic as well, by the end of their webhooks' names. Some
// look at every namespace and decide by an annotation, of the namespace, whether to add a sidecar.
var injectors = []struct{ suffix, product, annotation string }{
	{suffix: "sidecar-injector.istio.io", product: "another Istio"},
	{suffix: ".linkerd.io", product: "Linkerd", annotation: "linkerd.io/inject"},
	{suffix: ".kuma.io", product: "Kuma"},
	{suffix: ".consul.hashicorp.com", product: "Consul", annotation: "consul.hashicorp.com/connect-inject"},
	{suffix: "osm-inject.k8s.io", product: "Open Service Mesh"},
	{suffix: ".appmesh.k8s.aws", product: "App Mesh"},
}

// meshNamespace is a namespace whose pods get a proxy of this mesh.
type meshNamespace struct {
	name                string
	labels, annotations map[string]string
}

// webhooks looks for others that add sidecars to pods of the mesh's namespaces.
func webhooks(ctx context.Context, m *Subject) (Finding, error) {
	namespaces, err := m.meshNamespaces(ctx)
	if err != nil {
		return Finding{}, err
	}
	configurations := &admissionregistrationv1.MutatingWebhookConfigurationList{}
	if err := m.Client.List(ctx, configurations); err != nil {
		return Finding{}, fmt.Errorf("list MutatingWebhookConfigurations: %w", err)
	}
	out := Finding{Note: fmt.Sprintf("%d namespaces of the mesh", len(namespaces))}
	apart := map[string]bool{}
	for i := range configurations.Items {
		c := &configurations.Items[i]
		if c.Labels[meshv1alpha1.LabelInstallation] == m.Installation {
			continue
		}
		for j := range c.Webhooks {
			product, shared, err := overlap(&c.Webhooks[j], namespaces)
			if err != nil {
				return out, fmt.Errorf("webhook %s of MutatingWebhookConfiguration %s: %w", c.Webhooks[j].Name, c.Name, err)
			}
			switch {
			case len(shared) > 0:
				out.Problems = append(out.Problems, fmt.Sprintf(
					"MutatingWebhookConfiguration %s of %s adds sidecars in %s, too: delete it, or leave those namespaces to one of the two",
					c.Name, product, some(shared, ", ")))
			case product != "":
				apart[c.Name] = true
			}
		}
	}
	if len(apart) > 0 {
		out.Note += fmt.Sprintf("; %d other injectors stay away from them", len(apart))
	}
	return out, nil
}

// overlap names the product of a webhook that injects sidecars, and the namespaces where it does so.
func overlap(w *admissionregistrationv1.MutatingWebhook, namespaces []meshNamespace) (product string, shared []string, err error) {
	i := slices.IndexFunc(injectors, func(k struct{ suffix, product, annotation string }) bool { return strings.HasSuffix(w.Name, k.suffix) })
	if i < 0 || !slices.ContainsFunc(w.Rules, makesPods) {
		return "", nil, nil
	}
	namespaceSelector, err := selectorOf(w.NamespaceSelector)
	if err != nil {
		return "", nil, err
	}
	objectSelector, err := selectorOf(w.ObjectSelector)
	if err != nil {
		return "", nil, err
	}
	for _, n := range namespaces {
		key := injectors[i].annotation
		wanted := key == "" || n.annotations[key] != "" && n.annotations[key] != "disabled" && n.annotations[key] != "false"
		// Most pods have none of the labels by which injectors choose.
		if wanted && namespaceSelector.Matches(labels.Set(n.labels)) && objectSelector.Matches(labels.Set{}) {
			shared = append(shared, n.name)
		}
	}
	return injectors[i].product, shared, nil
}

func makesPods(r admissionregistrationv1.RuleWithOperations) bool {
	creates := slices.Contains(r.Operations, admissionregistrationv1.Create) || slices.Contains(r.Operations, admissionregistrationv1.OperationAll)
	return creates && (slices.Contains(r.Resources, "pods") || slices.Contains(r.Resources, "*") || slices.Contains(r.Resources, "*/*"))
}

// selectorOf reads a webhook's selector; one that is left out selects everything.
func selectorOf(s *metav1.LabelSelector) (labels.Selector, error) {
	if s == nil {
		return labels.Everything(), nil
	}
	return metav1.LabelSelectorAsSelector(s)
}

func (m *Subject) meshNamespaces(ctx context.Context) ([]meshNamespace, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	var out []meshNamespace
	err := pages(ctx, m.Client, list, func() {
		for i := range list.Items {
			n := &list.Items[i]
			injection, has := n.Labels[istio.InjectionLabel]
			if injection == "enabled" || !has && slices.Contains(m.Injects, n.Labels[istio.RevisionLabel]) || m.InjectsByDefault && istio.IsInjectedByDefault(n.Labels) {
				out = append(out, meshNamespace{n.Name, n.Labels, n.Annotations})
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	return out, nil
}
