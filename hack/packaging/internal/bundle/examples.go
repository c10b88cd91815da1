package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"

	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/manifests"
)

// examples returns the objects of config/samples and config/manifests/examples. Consoles fill their form with the first one of a kind, so the
// simplest sample comes first: its file has the shortest name. The objects have no namespace: it is that of the person who creates them.
func examples(root string) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	for _, dir := range []string{"samples", "manifests/examples"} {
		objects, err := manifests.ReadDir(filepath.Join(root, "config", filepath.FromSlash(dir)))
		if err != nil {
			return nil, err
		}
		all = append(all, objects...)
	}
	for _, u := range all {
		unstructured.RemoveNestedField(u.Object, "metadata", "namespace")
	}
	return all, nil
}

// examplesAnnotation is the JSON list of examples, for people who read the ClusterServiceVersion too. Each owned kind must have one.
func examplesAnnotation(all []*unstructured.Unstructured, owned []operatorsv1alpha1.CRDDescription) (string, error) {
	list := make([]map[string]any, 0, len(all))
	has := map[string]bool{}
	for _, u := range all {
		list = append(list, u.Object)
		has[u.GetKind()] = true
	}
	for _, o := range owned {
		if !has[o.Kind] {
			return "", fmt.Errorf("there is no example of the kind %s: add one to config/manifests/examples", o.Kind)
		}
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(list); err != nil {
		return "", err
	}
	return string(bytes.TrimSpace(text.Bytes())), nil
}
