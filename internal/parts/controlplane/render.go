package controlplane

import (
	"cmp"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/rendering"
)

// The sets of a revision's rendering.
const (
	setIstiod = "istiod"
	// setDefaultTag is the tag `default`, setTag any other one: it is named placeholder.
	setDefaultTag = "tag-default"
	setTag        = "tag"
	// setBase is the base chart without CRDs. The default revision is named placeholder.
	setBase = "base"
)

// placeholder stands in a rendering for a name that is known when its objects are applied.
const placeholder = "meshfleet-placeholder"

// inputs are what a revision's rendering is made from. A new field must be left out when it is empty, see rendering.Source.
type inputs struct {
	Name         string                    `json:"name"`
	Version      string                    `json:"version"`
	Values       map[string]any            `json:"values,omitempty"`
	Cluster      string                    `json:"cluster"`
	Network      string                    `json:"network"`
	MeshID       string                    `json:"meshID"`
	TrustDomain  string                    `json:"trustDomain"`
	Namespace    string                    `json:"namespace"`
	ReaderTokens meshv1alpha1.ReaderTokens `json:"readerTokens"`
	Charts       meshv1alpha1.ChartDigests `json:"charts,omitzero"`
}

func inputsOf(m *meshv1alpha1.MeshMemberSpec, r *meshv1alpha1.Revision) (inputs, error) {
	values, err := mesh.Values(r.Values)
	return inputs{
		Name: r.Name, Version: r.Version, Values: values, Cluster: m.Cluster, Network: m.Network, MeshID: m.MeshID,
		TrustDomain: m.TrustDomain, Namespace: m.ControlPlaneNamespace,
		ReaderTokens: cmp.Or(m.ReaderTokens, meshv1alpha1.ReaderTokensInline), Charts: r.Charts,
	}, err
}

// Render renders everything of one revision: its istiod, and what the member has of tags and of the base chart while they are of that
// revision.
func Render(lib charts.Renderer, m *meshv1alpha1.MeshMemberSpec, r *meshv1alpha1.Revision) (rendering.Sets, error) {
	values, err := IstiodValues(m, r)
	if err != nil {
		return nil, err
	}
	request := charts.Request{
		Version: r.Version, Chart: charts.Istiod, Digest: r.Charts.Istiod, Release: RevisionPrefix + r.Name, Namespace: m.ControlPlaneNamespace, Values: values,
	}
	istiod, err := lib.Render(request)
	if err != nil {
		return nil, err
	}
	sets := rendering.Sets{}
	if sets[setIstiod], err = prepared(m, r, istiod); err != nil {
		return nil, err
	}
	request.Values = mesh.Merge(values, map[string]any{"revisionTags": []any{DefaultTag, placeholder}})
	tagged, err := lib.Render(request)
	if err != nil {
		return nil, err
	}
	for set, tag := range map[string]string{setDefaultTag: DefaultTag, setTag: placeholder} {
		for _, o := range tagged {
			if o.GetLabels()[TagLabel] == tag {
				sets[set] = append(sets[set], o)
			}
		}
		if len(sets[set]) == 0 {
			return nil, fmt.Errorf("the chart of revision %q rendered nothing for tags", r.Name)
		}
	}
	_, sets[setBase], err = renderBase(lib, r, m.ControlPlaneNamespace)
	return sets, err
}

// prepared are the objects of an istiod whose Deployment reads the tokens of peers. Those that were rendered are not changed.
func prepared(m *meshv1alpha1.MeshMemberSpec, r *meshv1alpha1.Revision, rendered []*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	hasIstiod := false
	for _, o := range rendered {
		if o.GetKind() == "Deployment" {
			hasIstiod = true
			o = o.DeepCopy()
			if err := mountTokens(m, o); err != nil {
				return nil, err
			}
		}
		out = append(out, o)
	}
	if !hasIstiod {
		return nil, fmt.Errorf("with the values of revision %q, the istiod chart of %s renders no istiod: remove a profile or a "+
			"value for a remote istiod", r.Name, r.Version)
	}
	return out, nil
}

// renderBase renders the base chart: the CRDs, and the rest with placeholder for the default revision.
func renderBase(lib charts.Renderer, r *meshv1alpha1.Revision, namespace string) (crds, rest []*unstructured.Unstructured, err error) {
	objects, err := lib.Render(charts.Request{
		Version: r.Version, Chart: charts.Base, Digest: r.Charts.Base, Release: "istio-base", Namespace: namespace, Values: BaseValues(namespace, placeholder),
	})
	if err != nil {
		return nil, nil, err
	}
	for _, o := range objects {
		if o.GetKind() == "CustomResourceDefinition" {
			crds = append(crds, o)
		} else {
			rest = append(rest, o)
		}
	}
	return crds, rest, nil
}

// fill puts a name in the place of placeholder.
func fill(objects []*unstructured.Unstructured, name string) {
	for _, o := range objects {
		if content, ok := filled(o.Object, name).(map[string]any); ok {
			o.Object = content
		}
	}
}

func filled(v any, name string) any {
	switch v := v.(type) {
	case map[string]any:
		for k, below := range v {
			v[k] = filled(below, name)
		}
	case []any:
		for i, below := range v {
			v[i] = filled(below, name)
		}
	case string:
		return strings.ReplaceAll(v, placeholder, name)
	}
	return v
}
