package controlplane

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/rendering"
)

// maker makes the components of the member's control planes from the renderings that it keeps.
func (s *Steps) maker(ctx context.Context, pass *member.Pass) Maker {
	return Maker{lib: s.Charts, of: func(m *meshv1alpha1.MeshMemberSpec, r *meshv1alpha1.Revision) (*rendering.Kept, error) {
		inputs, err := inputsOf(m, r)
		if err != nil {
			return nil, err
		}
		return s.Renderings.Of(ctx, pass, rendering.Source{
			Component: RevisionPrefix + r.Name, Version: r.Version, IsFetched: !r.Charts.IsZero(), Ordered: r.Rendering, Inputs: inputs,
			Render: func() (rendering.Sets, error) { return Render(s.Charts, m, r) },
		})
	}}
}

// orNearest makes what revisions share also for one that cannot be rendered, as the nearest release in the table does. A member that is
// rolled back to such a revision needs its tags and the validator.
func (k Maker) orNearest() Maker {
	of := k.of
	k.of = func(m *meshv1alpha1.MeshMemberSpec, r *meshv1alpha1.Revision) (*rendering.Kept, error) {
		kept, err := of(m, r)
		if !cannotRender(err) {
			return kept, err
		}
		stand := *r
		stand.Version, stand.Charts = istioversion.Packaged().Nearest(r.Version), meshv1alpha1.ChartDigests{}
		return From(k.lib).of(m, &stand)
	}
	return k
}

// cannotRender says that this operator does not know a release, or renders it differently from what runs, and that nothing is kept.
func cannotRender(err error) bool {
	return errors.Is(err, rendering.ErrInPlace) || errors.Is(err, charts.ErrNoChart)
}

// shared are the components that all revisions share. One that cannot be rendered stays as it is, as long as it points at the default
// revision.
func (s *Steps) shared(ctx context.Context, pass *member.Pass) ([]apply.Component, error) {
	maker, spec := s.maker(ctx, pass), mesh.WithoutTarget(pass.Object)
	var all []apply.Component
	crds, base, err := maker.Foundation(spec)
	isKept := false
	if cannotRender(err) {
		if isKept, err = pointsAt(ctx, pass, Base, spec.DefaultRevision); err == nil && !isKept {
			crds, base, err = maker.orNearest().Foundation(spec)
		}
	}
	if err != nil {
		return nil, err
	}
	if !isKept {
		all = append(all, crds, base)
	}
	reader, err := s.reader(ctx, pass, &pass.Object.Spec)
	if err != nil {
		return nil, err
	}
	return append(all, reader...), nil
}

// reader are the permissions of peers. Those for a release that this operator does not know stay as they are.
func (s *Steps) reader(ctx context.Context, pass *member.Pass, spec *meshv1alpha1.MeshMemberSpec) ([]apply.Component, error) {
	c, err := From(s.Charts).ReaderPermissions(spec)
	if !errors.Is(err, charts.ErrNoChart) {
		return []apply.Component{c}, err
	}
	if inventory, err := pass.Applier().Inventory(ctx, Reader); err != nil || inventory.Exists() {
		return nil, err
	}
	stand := spec.DeepCopy()
	stand.ReaderVersion, stand.ReaderCharts = istioversion.Packaged().Nearest(spec.ReaderVersion), meshv1alpha1.ChartDigests{}
	c, err = From(s.Charts).ReaderPermissions(stand)
	return []apply.Component{c}, err
}

// tags are the tags. Those of a revision that cannot be rendered stay as they are, as long as they point at it.
func (s *Steps) tags(ctx context.Context, pass *member.Pass, keeper string) (c apply.Component, isKept bool, err error) {
	spec, maker := mesh.WithKeptTags(pass.Object), s.maker(ctx, pass)
	c, err = maker.Tags(spec, keeper)
	if !cannotRender(err) {
		return c, false, err
	}
	if isKept, err = pointsAt(ctx, pass, Tags, spec.DefaultRevision); err != nil || isKept {
		return c, isKept, err
	}
	c, err = maker.orNearest().Tags(spec, keeper)
	return c, false, err
}

// pointsAt says whether the objects of a component are there and name a revision, and no other.
func pointsAt(ctx context.Context, pass *member.Pass, component, revision string) (bool, error) {
	named, err := pass.Applier().LabelValues(ctx, component, istio.RevisionLabel)
	return slices.Equal(named, []string{revision}), err
}

// rendered is what a work order makes of charts. Of a revision that cannot be rendered it has the names of the objects only.
func (s *Steps) rendered(ctx context.Context, pass *member.Pass, spec *meshv1alpha1.MeshMemberSpec) ([]apply.Component, error) {
	maker := s.maker(ctx, pass)
	crds, base, err := maker.orNearest().Foundation(spec)
	if err != nil {
		return nil, err
	}
	tags, err := maker.orNearest().Tags(spec, "")
	if err != nil {
		return nil, err
	}
	reader, err := s.reader(ctx, pass, spec)
	if err != nil {
		return nil, err
	}
	all := append([]apply.Component{crds, base, tags}, reader...)
	for i := range spec.Revisions {
		c, err := maker.Revision(spec, &spec.Revisions[i])
		if errors.Is(err, rendering.ErrInPlace) {
			var inventory *apply.Inventory
			if inventory, err = pass.Applier().Inventory(ctx, RevisionPrefix+spec.Revisions[i].Name); err == nil {
				c = inventory.Present()
			}
		}
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// unknownNote tells of revisions of releases that this operator does not know, and of those that it leaves as they are.
func (s *Steps) unknownNote(pass *member.Pass) string {
	const shown = 3
	inPlace := s.memory.Of(pass).inPlace
	var notes []string
	for _, r := range pass.Object.Spec.Revisions {
		if _, isKnown := istioversion.Installable(r.Version, !r.Charts.IsZero()); !isKnown && inPlace[r.Name] == "" {
			notes = append(notes, fmt.Sprintf("this operator has no charts of Istio %s of revision %s and keeps it as it was installed; set spec.version to one of %v",
				r.Version, r.Name, istioversion.Supported()))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(inPlace)) {
		notes = append(notes, inPlace[name])
	}
	if len(notes) == 0 {
		return ""
	}
	return "; " + mesh.Sentences(notes, shown)
}
