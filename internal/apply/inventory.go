package apply

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

const (
	inventoryPrefix = "meshfleet-inventory-"
	inventoryKey    = "objects"
)

// Reference names one object in a cluster.
type Reference struct {
	Group, Version, Kind, Namespace, Name string
}

// GroupVersionKind of the object.
func (r Reference) GroupVersionKind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: r.Group, Version: r.Version, Kind: r.Kind}
}

func (r Reference) String() string {
	if r.Namespace == "" {
		return r.Kind + " " + r.Name
	}
	return r.Kind + " " + r.Namespace + "/" + r.Name
}

func (r Reference) line() string {
	return strings.Join([]string{r.Group, r.Version, r.Kind, r.Namespace, r.Name}, " ")
}

func (r Reference) compare(o Reference) int { return cmp.Compare(r.line(), o.line()) }

func parseReference(line string) (Reference, error) {
	f := strings.Split(line, " ")
	if len(f) != 5 {
		return Reference{}, fmt.Errorf("inventory line %q: want group, version, kind, namespace and name", line)
	}
	return Reference{Group: f[0], Version: f[1], Kind: f[2], Namespace: f[3], Name: f[4]}, nil
}

func refOf(o *unstructured.Unstructured) Reference {
	gvk := o.GroupVersionKind()
	return Reference{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: o.GetNamespace(), Name: o.GetName()}
}

func references(objects []*unstructured.Unstructured) []Reference {
	refs := make([]Reference, 0, len(objects))
	for _, o := range objects {
		refs = append(refs, refOf(o))
	}
	slices.SortFunc(refs, Reference.compare)
	return refs
}

// without is what of refs is not among others. An object is one whatever version of its API names it.
func without(refs, others []Reference) []Reference {
	same := map[Reference]bool{}
	for _, o := range others {
		o.Version = ""
		same[o] = true
	}
	return slices.DeleteFunc(slices.Clone(refs), func(r Reference) bool {
		r.Version = ""
		return same[r]
	})
}

// Inventory is the list of objects that a component has created in a member, with the renderings that they come from.
type Inventory struct {
	// Component it belongs to.
	Component string
	// References are the objects, sorted.
	References []Reference

	renderings []Rendering
	object     *corev1.ConfigMap
}

// Components lists the components that have an inventory in the member.
func (a *Applier) Components(ctx context.Context) ([]string, error) {
	// Their content is not needed, and may be large.
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMapList"))
	if err := a.client.List(ctx, list, client.InNamespace(a.owner.Namespace),
		client.MatchingLabels{meshv1alpha1.LabelInstallation: a.owner.Installation}); err != nil {
		return nil, fmt.Errorf("list inventories: %w", err)
	}
	var names []string
	for _, cm := range list.Items {
		if name, ok := strings.CutPrefix(cm.Name, inventoryPrefix); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// LabelValues are the values that a label has on the objects of a component that are there, each once, sorted.
func (a *Applier) LabelValues(ctx context.Context, component, label string) ([]string, error) {
	inventory, err := a.Inventory(ctx, component)
	if err != nil {
		return nil, err
	}
	var values []string
	for _, ref := range inventory.References {
		live, err := a.get(ctx, ref)
		if err != nil {
			return nil, err
		}
		if live != nil && live.Labels[label] != "" && live.Labels[meshv1alpha1.LabelInstallation] == a.owner.Installation {
			values = append(values, live.Labels[label])
		}
	}
	slices.Sort(values)
	return slices.Compact(values), nil
}

// Inventory reads what a component has created in the member. A component without one has an empty inventory that does not exist.
func (a *Applier) Inventory(ctx context.Context, component string) (*Inventory, error) {
	inv := &Inventory{Component: component}
	cm := &corev1.ConfigMap{}
	err := a.client.Get(ctx, client.ObjectKey{Namespace: a.owner.Namespace, Name: inventoryPrefix + component}, cm)
	if apierrors.IsNotFound(err) {
		return inv, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read inventory of %q: %w", component, err)
	}
	if !a.isOurs(cm, metav1.ManagedFieldsOperationUpdate) {
		return nil, fmt.Errorf("inventory ConfigMap %s/%s: %w", cm.Namespace, cm.Name, ErrConflict)
	}
	inv.object, inv.renderings = cm, readRenderings(cm)
	for line := range strings.Lines(cm.Data[inventoryKey]) {
		ref, err := parseReference(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, err
		}
		inv.References = append(inv.References, ref)
	}
	return inv, nil
}

func (a *Applier) writeInventory(ctx context.Context, inv *Inventory, refs []Reference, renderings []Rendering) error {
	if renderings == nil {
		renderings = inv.renderings
	}
	labels := map[string]string{
		meshv1alpha1.LabelInstallation: a.owner.Installation, managedBy: fieldManager, meshv1alpha1.LabelComponent: inv.Component,
	}
	if inv.object != nil && slices.Equal(inv.References, refs) && carries(inv.object, labels) &&
		slices.EqualFunc(inv.renderings, renderings, Rendering.equal) {
		return nil
	}
	lines := make([]string, 0, len(refs))
	for _, r := range refs {
		lines = append(lines, r.line())
	}
	data := map[string]string{inventoryKey: strings.Join(lines, "\n")}
	content, err := writeRenderings(inv.Component, renderings, data)
	if err != nil {
		return err
	}
	if inv.object == nil {
		inv.object = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Name: inventoryPrefix + inv.Component, Namespace: a.owner.Namespace, Labels: labels,
		}, Data: data, BinaryData: content}
		if err := a.client.Create(ctx, inv.object, client.FieldOwner(fieldManager)); err != nil {
			inv.object = nil
			return fmt.Errorf("create inventory of %q: %w", inv.Component, err)
		}
	} else {
		if inv.object.Labels == nil {
			inv.object.Labels = map[string]string{}
		}
		maps.Copy(inv.object.Labels, labels)
		inv.object.Data, inv.object.BinaryData = data, content
		if err := a.client.Update(ctx, inv.object, client.FieldOwner(fieldManager)); err != nil {
			return fmt.Errorf("update inventory of %q: %w", inv.Component, err)
		}
	}
	inv.References, inv.renderings = refs, renderings
	return nil
}

// carries says whether an object has all of the labels.
func carries(o client.Object, labels map[string]string) bool {
	have := o.GetLabels()
	for k, v := range labels {
		if have[k] != v {
			return false
		}
	}
	return true
}

func isNoKind(err error) bool { return meta.IsNoMatchError(err) }
