// Package controlplane knows what an Istio control plane of a member consists of and when it serves.
package controlplane

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/rendering"
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

// Maker makes the components of a control plane.
type Maker struct {
	lib charts.Renderer
	// of is the rendering of a revision.
	of func(*meshv1alpha1.MeshMemberSpec, *meshv1alpha1.Revision) (*rendering.Kept, error)
}

// From is a Maker that renders everything anew.
func From(lib charts.Renderer) Maker {
	return Maker{lib: lib, of: func(m *meshv1alpha1.MeshMemberSpec, r *meshv1alpha1.Revision) (*rendering.Kept, error) {
		sets, err := Render(lib, m, r)
		if err != nil {
			return nil, err
		}
		return rendering.Pack(nil, sets)
	}}
}

// Foundation is what all revisions of a member share, of the newest release among them: the CRDs, and the reader
// account with the validator of the default revision. CRDs of a release that this operator does not know stay as they are.
func (k Maker) Foundation(m *meshv1alpha1.MeshMemberSpec) (crds, base apply.Component, err error) {
	newest := slices.MaxFunc(m.Revisions, func(a, b meshv1alpha1.Revision) int { return istioversion.Compare(a.Version, b.Version) })
	crds, base = apply.Component{Name: CRDs, Shared: true}, apply.Component{Name: Base}
	kept, err := k.of(m, &newest)
	if err != nil {
		return crds, base, err
	}
	if base.Objects, err = kept.Objects(setBase); err != nil {
		return crds, base, err
	}
	fill(base.Objects, m.DefaultRevision)
	if crds.Objects, _, err = renderBase(k.lib, &newest, m.ControlPlaneNamespace); errors.Is(err, charts.ErrNoChart) {
		return crds, base, nil
	}
	return crds, base, err
}

// readerPrefix begins the names of the ClusterRole and its binding by which peers read a member.
const readerPrefix = "istio-reader-clusterrole"

// ReaderPermissions are what the newest istiod among the peers may read. Each revision brings those of its own release;
// these are there before a newer one starts anywhere in the mesh.
func (k Maker) ReaderPermissions(m *meshv1alpha1.MeshMemberSpec) (apply.Component, error) {
	c := apply.Component{Name: Reader}
	objects, err := k.lib.Render(charts.Request{
		Version: m.ReaderVersion, Chart: charts.Istiod, Digest: m.ReaderCharts.Istiod, Release: "istio-reader", Namespace: m.ControlPlaneNamespace,
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
func (k Maker) Revision(m *meshv1alpha1.MeshMemberSpec, r *meshv1alpha1.Revision) (apply.Component, error) {
	kept, err := k.of(m, r)
	if err != nil {
		return apply.Component{}, err
	}
	objects, err := kept.Objects(setIstiod)
	if err != nil {
		return apply.Component{}, err
	}
	for _, o := range objects {
		if o.GetKind() == "Deployment" {
			if err := orderRestart(m, o); err != nil {
				return apply.Component{}, err
			}
		}
	}
	if r.Name == idle(m) {
		objects = restricted(objects)
	}
	return apply.Component{Name: RevisionPrefix + r.Name, Objects: objects, Renderings: kept.Renderings}, nil
}

// Restriction is what Revision changes of an istiod that must leave Gateways to another: nothing is added. Without such, there
// are no objects.
func (k Maker) Restriction(m *meshv1alpha1.MeshMemberSpec, r *meshv1alpha1.Revision) (apply.Component, error) {
	if r.Name != idle(m) {
		return apply.Component{}, nil
	}
	c, err := k.Revision(m, r)
	c.Partial, c.Renderings = true, nil
	c.Objects = slices.DeleteFunc(c.Objects, func(o *unstructured.Unstructured) bool { return !isGatewayRole(o) })
	return c, err
}

// Tags are the webhooks and Services of all tags of a member. They are applied apart from the revisions, so
// that a tag can move from one to another without either claiming it. The Services are those of the keeper, if there is
// one; see Leaving.
func (k Maker) Tags(m *meshv1alpha1.MeshMemberSpec, keeper string) (apply.Component, error) {
	c := apply.Component{Name: Tags}
	tags := append([]meshv1alpha1.Tag{{Name: DefaultTag, Revision: m.DefaultRevision}}, m.Tags...)
	for _, tag := range tags {
		objects, err := k.tagAt(m, tag)
		if err != nil {
			return c, err
		}
		if keeper != "" && keeper != tag.Revision {
			kept, err := k.tagAt(m, meshv1alpha1.Tag{Name: tag.Name, Revision: keeper})
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
func (k Maker) tagAt(m *meshv1alpha1.MeshMemberSpec, tag meshv1alpha1.Tag) ([]*unstructured.Unstructured, error) {
	i := slices.IndexFunc(m.Revisions, func(r meshv1alpha1.Revision) bool { return r.Name == tag.Revision })
	if i < 0 {
		return nil, fmt.Errorf("tag %q points at revision %q, which the member does not have", tag.Name, tag.Revision)
	}
	kept, err := k.of(m, &m.Revisions[i])
	if err != nil {
		return nil, err
	}
	set := setTag
	if tag.Name == DefaultTag {
		set = setDefaultTag
	}
	objects, err := kept.Objects(set)
	if err != nil {
		return nil, err
	}
	fill(objects, tag.Name)
	return objects, nil
}
