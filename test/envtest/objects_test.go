package envtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// object names an object of any kind.
type object struct{ apiVersion, kind, namespace, name string }

func (o object) String() string { return strings.TrimSpace(o.kind + " " + o.name) }

func (o object) get(ctx context.Context, c *cluster) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(o.apiVersion)
	u.SetKind(o.kind)
	return u, c.admin.Get(ctx, client.ObjectKey{Namespace: o.namespace, Name: o.name}, u)
}

// create makes an object with content, which may be nil.
func (o object) create(t *testing.T, c *cluster, content map[string]any) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{Object: maps.Clone(content)}
	if u.Object == nil {
		u.Object = map[string]any{}
	}
	u.SetAPIVersion(o.apiVersion)
	u.SetKind(o.kind)
	u.SetNamespace(o.namespace)
	u.SetName(o.name)
	must(t, c.admin.Create(t.Context(), u))
	return u
}

// ownerLabel is what the mesh's own objects in a member carry.
const ownerLabel = operatorNamespace + "." + meshName

// labelled finds the objects of all kinds that match a selector. The API server says which kinds there are, so that
// leftovers of a kind that nobody thought of are found, too.
func (c *cluster) labelled(ctx context.Context, selector string) ([]object, error) {
	d, err := discovery.NewDiscoveryClientForConfig(c.config)
	if err != nil {
		return nil, err
	}
	m, err := metadata.NewForConfig(c.config)
	if err != nil {
		return nil, err
	}
	lists, err := d.ServerPreferredResources()
	if err != nil {
		return nil, err
	}
	var found []object
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, r := range list.APIResources {
			if !slices.Contains(r.Verbs, "list") {
				continue
			}
			objects, err := m.Resource(gv.WithResource(r.Name)).List(ctx, metav1.ListOptions{LabelSelector: selector})
			if err != nil {
				return nil, fmt.Errorf("list %s: %w", r.Name, err)
			}
			for i := range objects.Items {
				o := &objects.Items[i]
				found = append(found, object{list.GroupVersion, r.Kind, o.Namespace, o.Name})
			}
		}
	}
	slices.SortFunc(found, func(a, b object) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return found, nil
}

// inventories reads what the inventories of a member list, and the names of the components.
func (c *cluster) inventories(ctx context.Context) (listed []object, components []string, err error) {
	list := &corev1.ConfigMapList{}
	if err := c.admin.List(ctx, list, client.InNamespace(controlPlaneNamespace),
		client.MatchingLabels{meshv1alpha1.LabelInstallation: ownerLabel}); err != nil {
		return nil, nil, err
	}
	for i := range list.Items {
		cm := &list.Items[i]
		component, ok := strings.CutPrefix(cm.Name, "meshfleet-inventory-")
		if !ok {
			continue
		}
		components = append(components, component)
		listed = append(listed, object{"v1", "ConfigMap", cm.Namespace, cm.Name})
		for _, line := range strings.Split(strings.Trim(cm.Data["objects"], "\n"), "\n") {
			f := strings.Split(line, " ")
			if len(f) != 5 {
				return nil, nil, fmt.Errorf("inventory of %s: line %q", component, line)
			}
			listed = append(listed, object{schema.GroupVersion{Group: f[0], Version: f[1]}.String(), f[2], f[3], f[4]})
		}
	}
	slices.SortFunc(listed, func(a, b object) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	slices.Sort(components)
	return listed, components, nil
}

// table asks for an object in the form that kubectl prints.
func (c *cluster) table(t *testing.T, gvk schema.GroupVersionKind, namespace, name string) map[string]any {
	t.Helper()
	clientset, err := kubernetes.NewForConfig(c.config)
	must(t, err)
	raw, err := clientset.Discovery().RESTClient().Get().
		AbsPath("apis", gvk.Group, gvk.Version, "namespaces", namespace, strings.ToLower(gvk.Kind)+"s", name).
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(t.Context()).Raw()
	must(t, err)
	out := map[string]any{}
	must(t, utiljson.Unmarshal(raw, &out))
	return out
}
