// Package rendering keeps what charts made of a component in the member where it runs. An operator of another release, which may render
// something else or nothing at all for that Istio release, goes on to apply what is kept: what serves is changed by an upgrade only.
package rendering

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/log"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// ErrInPlace says that this operator cannot render what runs in the member, and that the member keeps no rendering of it that fits its
// work order. The objects in place stay as they are.
var ErrInPlace = errors.New("objects stay as they are")

// maxNoted is how many renderings the status has at most, as its field says.
const maxNoted = 16

// Source says what to render.
type Source struct {
	// Component that the objects are of.
	Component string
	// Version is the Istio release of the charts.
	Version string
	// IsFetched says that the charts are not those in the operator's image.
	IsFetched bool
	// Ordered is the rendering of the release that was ordered, see Revision.Rendering.
	Ordered string
	// Inputs are everything in the work order that Render depends on. A field that is new in a later release of the operator must be
	// left out when it is empty: other inputs are another rendering.
	Inputs any
	// KeepsFormer says that the rendering before this one is needed again when the member is rolled back, because a component of the same
	// name is changed in place.
	KeepsFormer bool
	// Render makes the objects.
	Render func() (Sets, error)
}

// Store finds renderings that members keep. The zero value is ready.
type Store struct {
	memory member.Memory[map[string]*Kept]
}

// Of is the rendering of a component for the present work order: the one that the member keeps, if it was made from the same inputs, or
// a new one. Precondition of writing it: Apply. Errors: ErrInPlace, and those of Render.
func (s *Store) Of(ctx context.Context, pass *member.Pass, src Source) (*Kept, error) {
	inputs, err := hashOf(src.Inputs)
	if err != nil {
		return nil, err
	}
	memory := s.memory.Of(pass)
	if known := (*memory)[src.Component]; known != nil && known.Renderings[0].Inputs == inputs {
		return known, nil
	}
	present, exists, err := s.kept(ctx, pass, src.Component)
	if err != nil {
		return nil, err
	}
	found, err := s.choose(pass.Object, src, inputs, present, exists)
	if err != nil {
		return nil, err
	}
	if *memory == nil || len(*memory) >= maxNoted {
		*memory = map[string]*Kept{}
	}
	(*memory)[src.Component] = found
	return found, nil
}

// choose takes a rendering that is kept, or makes one. What has never served is always rendered anew: nobody uses it, and another
// release of the operator may have mended it.
func (s *Store) choose(m *meshv1alpha1.MeshMember, src Source, inputs string, present []apply.Rendering, exists bool) (*Kept, error) {
	i := slices.IndexFunc(present, func(r apply.Rendering) bool { return r.Inputs == inputs })
	if i >= 0 && mesh.HasServed(m) {
		return keep(present[i], present, src), nil
	}
	if len(present) == 0 && exists && mesh.HasServed(m) && !isOurs(src) {
		return nil, fmt.Errorf("%w: the member keeps no rendering of component %q, and this operator renders Istio %s differently from the one that "+
			"installed it; an upgrade replaces it", ErrInPlace, src.Component, src.Version)
	}
	sets, err := src.Render()
	switch {
	case errors.Is(err, charts.ErrNoChart) && i >= 0:
		return keep(present[i], present, src), nil
	case errors.Is(err, charts.ErrNoChart) && exists:
		return nil, fmt.Errorf("%w: this operator has no charts of Istio %s, and the member keeps no rendering of component %q for its present settings; "+
			"set spec.charts, or spec.version to one of %v", ErrInPlace, src.Version, src.Component, istioversion.Supported())
	case err != nil:
		return nil, err
	}
	fresh, err := Pack(src.Inputs, sets)
	if err != nil {
		return nil, err
	}
	return keep(fresh.Renderings[0], present, src), nil
}

// keep is a rendering with the former one behind it, if that is needed.
func keep(r apply.Rendering, present []apply.Rendering, src Source) *Kept {
	k := &Kept{Renderings: []apply.Rendering{r}}
	if !src.KeepsFormer {
		return k
	}
	if i := slices.IndexFunc(present, func(p apply.Rendering) bool { return p.Inputs != r.Inputs }); i >= 0 {
		k.Renderings = append(k.Renderings, present[i])
	}
	return k
}

// isOurs says whether this operator renders a release as it was ordered.
func isOurs(src Source) bool {
	return src.IsFetched || istioversion.Packaged().Rendering(src.Version) == src.Ordered
}

// kept reads what the member keeps. What is not what the operator has stored there is not used: whoever may write ConfigMaps in the
// member could otherwise have anything applied by the operator. While the hub has not noted any, as after a restore, the member is believed,
// as it is in its claim.
func (s *Store) kept(ctx context.Context, pass *member.Pass, component string) (present []apply.Rendering, exists bool, err error) {
	inventory, err := pass.Applier().Inventory(ctx, component)
	if err != nil {
		return nil, false, err
	}
	present, exists = inventory.Renderings(), inventory.Exists()
	if len(present) == 0 {
		return nil, exists, nil
	}
	noted := pass.Object.Status.Renderings
	i := slices.IndexFunc(noted, func(n meshv1alpha1.KeptRendering) bool { return n.Component == component })
	if i >= 0 && noted[i].Hash != apply.HashOf(present) {
		log.FromContext(ctx).Info("Ignoring a rendering in the member that the operator has not stored", "component", component)
		return nil, exists, nil
	}
	return present, exists, nil
}

// Apply applies a component with its rendering, and notes on the hub what the member then keeps.
func (s *Store) Apply(ctx context.Context, pass *member.Pass, c apply.Component) error {
	note(&pass.Object.Status, c)
	return pass.Apply(ctx, c)
}

func note(st *meshv1alpha1.MeshMemberStatus, c apply.Component) {
	if c.Renderings == nil {
		return
	}
	entry := meshv1alpha1.KeptRendering{Component: c.Name, Hash: apply.HashOf(c.Renderings)}
	i := slices.IndexFunc(st.Renderings, func(n meshv1alpha1.KeptRendering) bool { return n.Component == c.Name })
	if i >= 0 {
		st.Renderings[i] = entry
		return
	}
	st.Renderings = append(st.Renderings, entry)
	st.Renderings = st.Renderings[max(0, len(st.Renderings)-maxNoted):]
}

// Forget drops what is noted of the components that the member does not have.
func (s *Store) Forget(pass *member.Pass, present []string) {
	isGone := func(component string) bool { return !slices.Contains(present, component) }
	pass.Object.Status.Renderings = slices.DeleteFunc(pass.Object.Status.Renderings, func(n meshv1alpha1.KeptRendering) bool { return isGone(n.Component) })
	for component := range *s.memory.Of(pass) {
		if isGone(component) {
			delete(*s.memory.Of(pass), component)
		}
	}
}
