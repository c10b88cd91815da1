package preflight

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// Changes compares the objects before and after an upgrade. The hash is over everything that is there afterwards and the
// names of what goes, so that it changes with nothing else.
func Changes(before, after []*unstructured.Unstructured) (meshv1alpha1.ObjectChanges, error) {
	old, err := contents(before)
	if err != nil {
		return meshv1alpha1.ObjectChanges{}, err
	}
	next, err := contents(after)
	if err != nil {
		return meshv1alpha1.ObjectChanges{}, err
	}
	var added, changed, removed []string
	sum := sha256.New()
	for _, id := range slices.SortedFunc(maps.Keys(next), byText) {
		fmt.Fprintf(sum, "%s\n%s\n", id, next[id])
		switch content, found := old[id]; {
		case !found:
			added = append(added, id.String())
		case !bytes.Equal(content, next[id]):
			changed = append(changed, id.String())
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(old), byText) {
		if _, found := next[id]; !found {
			fmt.Fprintf(sum, "-%s\n", id)
			removed = append(removed, id.String())
		}
	}
	return meshv1alpha1.ObjectChanges{
		Hash:  hex.EncodeToString(sum.Sum(nil)),
		Added: mesh.SampleOf(added), Changed: mesh.SampleOf(changed), Removed: mesh.SampleOf(removed),
	}, nil
}

// identityOf names an object whatever version of its API is used.
func identityOf(o *unstructured.Unstructured) apply.Reference {
	gk := o.GroupVersionKind().GroupKind()
	return apply.Reference{Group: gk.Group, Kind: gk.Kind, Namespace: o.GetNamespace(), Name: o.GetName()}
}

func byText(a, b apply.Reference) int {
	return cmp.Or(cmp.Compare(a.String(), b.String()), cmp.Compare(a.Group, b.Group))
}

// contents are the objects in one spelling: keys of maps are sorted.
func contents(objects []*unstructured.Unstructured) (map[apply.Reference][]byte, error) {
	out := map[apply.Reference][]byte{}
	for _, o := range objects {
		raw, err := json.Marshal(o.Object)
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", identityOf(o), err)
		}
		out[identityOf(o)] = raw
	}
	return out, nil
}
