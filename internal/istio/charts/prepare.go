package charts

import (
	"fmt"
	"maps"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
)

// clusterScoped are the kinds of the charts that have no namespace, with their API groups.
var clusterScoped = map[string]string{
	"ClusterRole": rbacv1.GroupName, "ClusterRoleBinding": rbacv1.GroupName,
	"CustomResourceDefinition": apiextensionsv1.GroupName, "Namespace": corev1.GroupName,
	"MutatingWebhookConfiguration": admissionregistrationv1.GroupName, "ValidatingWebhookConfiguration": admissionregistrationv1.GroupName,
	"ValidatingAdmissionPolicy": admissionregistrationv1.GroupName, "ValidatingAdmissionPolicyBinding": admissionregistrationv1.GroupName,
	"GatewayClass": "gateway.networking.k8s.io",
}

// ClusterScoped are the kinds of the charts that have no namespace, sorted by name. All are of version v1.
func ClusterScoped() []schema.GroupVersionKind {
	var kinds []schema.GroupVersionKind
	for _, kind := range slices.Sorted(maps.Keys(clusterScoped)) {
		kinds = append(kinds, schema.GroupVersionKind{Group: clusterScoped[kind], Version: "v1", Kind: kind})
	}
	return kinds
}

// prepare makes a rendered object fit for server-side apply by the operator:
//   - a namespaced object that names no namespace gets the release's;
//   - the failurePolicy of validating webhooks is left out: istiod owns it, Ignore until it serves and Fail from then
//     on. Whoever applies must supply Ignore at creation, because the API server's default is Fail;
//   - webhooks carry the annotation that keeps AKS from adding selector terms of its own, which would be taken off again
//     for ever;
//   - wildcards in roles become explicit lists, so that neither istiod nor the credential that installs it holds a
//     permission that nobody named;
//   - fields that are null are left out: there the user has taken a default of the chart away, and the API server would read
//     null as zero in a quantity. Istio's charts leave out null quantities from 1.29 on, and no other nulls;
//   - the network label is taken off a gateway's Service: it announces the gateway to every peer and goes on last.
func prepare(o *unstructured.Unstructured, namespace string) error {
	if _, isClusterScoped := clusterScoped[o.GetKind()]; !isClusterScoped && o.GetNamespace() == "" {
		o.SetNamespace(namespace)
	}
	if o.GetKind() != "CustomResourceDefinition" {
		// In the schema of a definition null has a meaning.
		dropNulls(o.Object)
	}
	switch o.GetKind() {
	case "Deployment":
		return addMark(o)
	case "MutatingWebhookConfiguration":
		keepFromEnforcer(o)
	case "ValidatingWebhookConfiguration":
		keepFromEnforcer(o)
		return dropFailurePolicy(o)
	case "ClusterRole", "Role":
		return expandRules(o)
	case "Service":
		labels := o.GetLabels()
		delete(labels, NetworkLabel)
		o.SetLabels(labels)
	}
	return nil
}

// NetworkLabel on a Service with port 15443 makes istiod of every peer treat it as a gateway of that network, at once
// and whether or not anything answers there. Source: Istio's network gateway discovery.
const NetworkLabel = "topology.istio.io/network"

// addMark makes a build for tests render Deployments differently from others.
func addMark(o *unstructured.Unstructured) error {
	mark, isAnew := istioversion.IsRenderedAnew()
	if !isAnew {
		return nil
	}
	return unstructured.SetNestedField(o.Object, mark, "spec", "template", "metadata", "annotations", "mesh.meshfleet.io/rendered-by")
}

func dropNulls(v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, below := range v {
			if below == nil {
				delete(v, k)
				continue
			}
			dropNulls(below)
		}
	case []any:
		for _, item := range v {
			dropNulls(item)
		}
	}
}

func keepFromEnforcer(o *unstructured.Unstructured) {
	annotations := o.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations["admissions.enforcer/disabled"] = "true"
	o.SetAnnotations(annotations)
}

func dropFailurePolicy(o *unstructured.Unstructured) error {
	webhooks, found, err := unstructured.NestedSlice(o.Object, "webhooks")
	if err != nil || !found {
		return err
	}
	for _, w := range webhooks {
		m, ok := w.(map[string]any)
		if !ok {
			return fmt.Errorf("webhook is a %T, not a map", w)
		}
		delete(m, "failurePolicy")
	}
	return unstructured.SetNestedSlice(o.Object, webhooks, "webhooks")
}
