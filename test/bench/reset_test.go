//go:build bench

package bench

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/test/harness"
)

// reset brings the members to where every round starts: no control plane namespace, no CRDs of Istio and no root of an
// earlier mesh. What an installation leaves on purpose must not make the next one faster or slower.
func reset(ctx context.Context, env *harness.Env) error {
	return env.EachMember(func(c *harness.Cluster) error {
		namespace := fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: %s\n", harness.ControlPlaneNamespace)
		for _, ns := range []string{harness.DemoNamespace, harness.PlainNamespace} {
			namespace += fmt.Sprintf("---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: %s\n", ns)
		}
		if err := c.Delete(ctx, namespace); err != nil {
			return err
		}
		if err := deleteRoots(ctx, c); err != nil {
			return err
		}
		return deleteCRDs(ctx, c)
	})
}

// deleteRoots removes the copies of the root that istiod has put into every namespace.
func deleteRoots(ctx context.Context, c *harness.Cluster) error {
	configMaps := &corev1.ConfigMapList{}
	if err := c.Client.List(ctx, configMaps, client.MatchingLabels{"istio.io/config": "true"}); err != nil {
		return fmt.Errorf("list the roots: %w", err)
	}
	for i := range configMaps.Items {
		if err := client.IgnoreNotFound(c.Client.Delete(ctx, &configMaps.Items[i])); err != nil {
			return fmt.Errorf("delete a root: %w", err)
		}
	}
	return nil
}

// deleteCRDs removes the CRDs of Istio and waits until they are gone.
func deleteCRDs(ctx context.Context, c *harness.Cluster) error {
	gvk := apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition")
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(gvk)
	if err := c.Client.List(ctx, list); err != nil {
		return fmt.Errorf("list CRDs: %w", err)
	}
	for _, item := range list.Items {
		if !strings.HasSuffix(item.Name, ".istio.io") {
			continue
		}
		crd := &unstructured.Unstructured{}
		crd.SetGroupVersionKind(gvk)
		crd.SetName(item.Name)
		if err := c.Remove(ctx, crd); err != nil {
			return err
		}
	}
	return nil
}
