package apply

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// isOurs says whether the operator made an object for this installation. One that has no label of whom it belongs to has
// lost it by somebody's hand if the operator has written it in the way given, in which nobody else's object is written.
func (a *Applier) isOurs(live client.Object, how metav1.ManagedFieldsOperationType) bool {
	switch owner := live.GetLabels()[meshv1alpha1.LabelInstallation]; owner {
	case a.owner.Installation:
		return true
	case "":
		return slices.ContainsFunc(live.GetManagedFields(), func(e metav1.ManagedFieldsEntry) bool {
			return e.Manager == fieldManager && e.Operation == how && e.Subresource == ""
		})
	}
	return false
}

// isSurplus says whether live has a field that the operator has applied earlier and that desired has no longer, such as
// an annotation that the user took off. It errs to the side of true: the API server's dry run settles it.
func isSurplus(desired, live *unstructured.Unstructured) bool {
	for _, entry := range live.GetManagedFields() {
		if entry.Manager != fieldManager || entry.Operation != metav1.ManagedFieldsOperationApply || entry.FieldsV1 == nil {
			continue
		}
		fields := map[string]any{}
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err != nil || ownsMore(fields, desired.Object) {
			return true
		}
	}
	return false
}

// ownsMore says whether a set of fields, in the notation of metadata.managedFields, has one that desired does not have.
func ownsMore(fields map[string]any, desired any) bool {
	for key, below := range fields {
		if key == "." {
			continue
		}
		child, ok := follow(key, desired)
		if !ok {
			return true
		}
		if set, isSet := below.(map[string]any); isSet && ownsMore(set, child) {
			return true
		}
	}
	return false
}

// follow goes one step down: `f:` and a field's name, `k:` and the keys of an item of a list, `v:` and the item itself,
// `i:` and its position.
func follow(step string, from any) (any, bool) {
	kind, what, _ := strings.Cut(step, ":")
	if kind == "f" {
		fields, _ := from.(map[string]any)
		v, ok := fields[what]
		return v, ok
	}
	items, _ := from.([]any)
	if kind == "i" {
		i, err := strconv.Atoi(what)
		if err != nil || i < 0 || i >= len(items) {
			return nil, false
		}
		return items[i], true
	}
	var want any
	if err := json.Unmarshal([]byte(what), &want); err != nil {
		return nil, false
	}
	for _, item := range items {
		if isItem(want, item) {
			return item, true
		}
	}
	return nil, false
}

// isItem says whether a key is that of an item. The API server fills in the protocol of a port.
func isItem(key, item any) bool {
	k, isMap := key.(map[string]any)
	i, isPort := item.(map[string]any)
	if isMap && isPort && i["protocol"] == nil && k["protocol"] == "TCP" {
		k = maps.Clone(k)
		delete(k, "protocol")
		return holds(k, i)
	}
	return holds(key, item)
}
