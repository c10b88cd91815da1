// Package controlplane knows what an Istio control plane of a member consists of and when it serves.
package controlplane

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
)

// Names of the components of a control plane.
const (
	CRDs = "crds"
	Base = "base"
	Tags = "tags"
	// Reader is what the istiod of peers may read.
	Reader = "reader"
	// RevisionPrefix and a revision's name make the name of its component.
	RevisionPrefix = "istiod-"
)

// DefaultTag is the tag of namespaces with `istio-injection: enabled`.
const DefaultTag = "default"

// Foundation is what all revisions of a member share, of the newest release among them: the CRDs, and the reader
// account with the validator of the default revision.
func Foundation(lib charts.Renderer, m *meshv1alpha1.MeshMemberSpec) (crds, base apply.Component, err error) {
	newest := slices.MaxFunc(m.Revisions, func(a, b meshv1alpha1.Revision) int { return istioversion.Compare(a.Version, b.Version) })
	objects, err := lib.Render(charts.Request{
		Version: newest.Version, Chart: charts.Base, Release: "istio-base", Namespace: m.ControlPlaneNamespace,
		Values: BaseValues(m),
	})
	if err != nil {
		return crds, base, err
	}
	crds, base = apply.Component{Name: CRDs, Shared: true}, apply.Component{Name: Base}
	for _, o := range objects {
		if o.GetKind() == "CustomResourceDefinition" {
			crds.Objects = append(crds.Objects, o)
		} else {
			base.Objects = append(base.Objects, o)
		}
	}
	return crds, base, nil
}

// readerPrefix begins the names of the ClusterRole and its binding by which peers read a member.
const readerPrefix = "istio-reader-clusterrole"

// ReaderPermissions are what the newest istiod among the peers may read. Each revision brings those of its own release;
// these are there before a newer one starts anywhere in the mesh.
func ReaderPermissions(lib charts.Renderer, m *meshv1alpha1.MeshMemberSpec) (apply.Component, error) {
	c := apply.Component{Name: Reader}
	objects, err := lib.Render(charts.Request{
		Version: m.ReaderVersion, Chart: charts.Istiod, Release: "istio-reader", Namespace: m.ControlPlaneNamespace,
		Values: map[string]any{"global": map[string]any{"istioNamespace": m.ControlPlaneNamespace}},
	})
	if err != nil {
		return c, err
	}
	for _, o := range objects {
		if strings.HasPrefix(o.GetName(), readerPrefix) {
			c.Objects = append(c.Objects, o)
		}
	}
	if len(c.Objects) == 0 {
		return c, fmt.Errorf("the chart of %s has no permissions for readers", m.ReaderVersion)
	}
	return c, nil
}

// Revision is one istiod. One that must leave Gateways to another has no permission to write what is run for them.
func Revision(lib charts.Renderer, m *meshv1alpha1.MeshMemberSpec, r *meshv1alpha1.Revision) (apply.Component, error) {
	values, err := IstiodValues(m, r)
	if err != nil {
		return apply.Component{}, err
	}
	objects, err := render(lib, m, r, values)
	if err != nil {
		return apply.Component{}, err
	}
	hasIstiod := false
	for _, o := range objects {
		if o.GetKind() == "Deployment" {
			hasIstiod = true
			if err := PrepareDiscovery(m, o); err != nil {
				return apply.Component{}, err
			}
		}
	}
	if !hasIstiod {
		return apply.Component{}, fmt.Errorf("with the values of revision %q, the istiod chart of %s renders no istiod: remove a profile or a "+
			"value for a remote istiod", r.Name, r.Version)
	}
	if r.Name == idle(m) {
		objects = restricted(objects)
	}
	return apply.Component{Name: RevisionPrefix + r.Name, Objects: objects}, nil
}

// Restriction is what Revision changes of an istiod that must leave Gateways to another: nothing is added. Without such, there
// are no objects.
func Restriction(lib charts.Renderer, m *meshv1alpha1.MeshMemberSpec, r *meshv1alpha1.Revision) (apply.Component, error) {
	if r.Name != idle(m) {
		return apply.Component{}, nil
	}
	c, err := Revision(lib, m, r)
	c.Partial = true
	c.Objects = slices.DeleteFunc(c.Objects, func(o *unstructured.Unstructured) bool { return !isGatewayRole(o) })
	return c, err
}

// TagObjects are the webhooks and Services of all tags of a member. They are rendered apart from the revisions, so
// that a tag can move from one to another without either claiming it. The Services are those of the keeper, if there is
// one; see Leaving.
func TagObjects(lib charts.Renderer, m *meshv1alpha1.MeshMemberSpec, keeper string) (apply.Component, error) {
	c := apply.Component{Name: Tags}
	tags := append([]meshv1alpha1.Tag{{Name: DefaultTag, Revision: m.DefaultRevision}}, m.Tags...)
	for _, tag := range tags {
		objects, err := tagAt(lib, m, tag)
		if err != nil {
			return c, err
		}
		if keeper != "" && keeper != tag.Revision {
			kept, err := tagAt(lib, m, meshv1alpha1.Tag{Name: tag.Name, Revision: keeper})
			if err != nil {
				return c, err
			}
			objects = append(slices.DeleteFunc(objects, isService), slices.DeleteFunc(kept, isNoService)...)
		}
		c.Objects = append(c.Objects, objects...)
	}
	return c, nil
}

// tagAt is one tag that points at a revision.
func tagAt(lib charts.Renderer, m *meshv1alpha1.MeshMemberSpec, tag meshv1alpha1.Tag) ([]*unstructured.Unstructured, error) {
	i := slices.IndexFunc(m.Revisions, func(r meshv1alpha1.Revision) bool { return r.Name == tag.Revision })
	if i < 0 {
		return nil, fmt.Errorf("tag %q points at revision %q, which the member does not have", tag.Name, tag.Revision)
	}
	values, err := IstiodValues(m, &m.Revisions[i])
	if err != nil {
		return nil, err
	}
	values["revisionTags"] = []any{tag.Name}
	objects, err := render(lib, m, &m.Revisions[i], values)
	if err != nil {
		return nil, err
	}
	var of []*unstructured.Unstructured
	for _, o := range objects {
		if o.GetLabels()[TagLabel] == tag.Name {
			of = append(of, o)
		}
	}
	if len(of) == 0 {
		return nil, fmt.Errorf("the chart of revision %q rendered nothing for tag %q", tag.Revision, tag.Name)
	}
	return of, nil
}

func render(lib charts.Renderer, m *meshv1alpha1.MeshMemberSpec, r *meshv1alpha1.Revision, values map[string]any) ([]*unstructured.Unstructured, error) {
	return lib.Render(charts.Request{
		Version: r.Version, Chart: charts.Istiod, Release: RevisionPrefix + r.Name,
		Namespace: m.ControlPlaneNamespace, Values: values,
	})
}
