// Package parts has the ordered list of what a member consists of. It is the only answer to that question: the steps of a pass, the dry
// run of an upgrade, the order of removal, the watches in members and the permissions of a member's credential follow from it.
//
// A part is one package below this one, and one line in New. No part imports another.
package parts

import (
	"cmp"
	"context"
	"errors"
	"net"
	"reflect"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/parts/claim"
	"github.com/meshfleet/meshfleet/internal/parts/controlplane"
	"github.com/meshfleet/meshfleet/internal/parts/discovery"
	"github.com/meshfleet/meshfleet/internal/parts/eastwest"
	"github.com/meshfleet/meshfleet/internal/parts/trust"
	"github.com/meshfleet/meshfleet/internal/parts/workloads"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/rendering"
)

// Deps are what parts need. The zero value is enough for what does not run: kinds, rules and the names of components.
type Deps struct {
	// Hub reads and writes the hub.
	Hub client.Client
	// HubUID identifies the hub: the UID of its kube-system namespace.
	HubUID string
	// Fleet has the connections to members.
	Fleet Fleet
	// Charts renders Istio's charts.
	Charts charts.Renderer
	// Istiod asks istiod pods.
	Istiod Istiod
	// WatchIstio starts the watches of Istio's kinds in a member that has their CRDs.
	WatchIstio func(context.Context, *member.Pass) error
}

// Istiod asks istiod pods for what parts need of them.
type Istiod interface {
	member.Istiod
	trust.Istiod
}

// Fleet has the connections to members.
type Fleet interface {
	// State of a member's connection; false: the member is not known.
	State(key types.NamespacedName) (fleet.State, bool)
	// Connection to a member. Error: fleet.ErrNotConnected.
	Connection(key types.NamespacedName) (*fleet.Connection, error)
}

// Set is the list, with those parts that stages and removal ask by name.
type Set struct {
	// List is in the order of making. Removal goes the other way.
	List []member.Part
	// Claim knows whether a cluster is the member's.
	Claim *claim.Steps
	// ControlPlane knows who uses a revision, and when tags were moved.
	ControlPlane *controlplane.Steps
}

// New makes the list.
func New(d Deps) *Set {
	renderings := rendering.Store{}
	planes := &controlplane.Steps{Charts: d.Charts, Istiod: d.Istiod, WatchIstio: d.WatchIstio, Renderings: renderings}
	s := &Set{
		Claim:        &claim.Steps{HubUID: d.HubUID, PresentRoot: presentRoot, Reconstruct: planes.Reconstruct},
		ControlPlane: planes,
	}
	peers := &discovery.Steps{Hub: d.Hub, HubUID: d.HubUID, Istiod: d.Istiod}
	if d.Fleet != nil {
		s.ControlPlane.Reach, peers.State = d.Fleet.Connection, d.Fleet.State
	}
	s.List = []member.Part{
		s.Claim.Part(),
		(&trust.Steps{Istiod: d.Istiod}).Part(),
		s.ControlPlane.Part(),
		peers.Part(),
		(&eastwest.Steps{
			Charts: d.Charts, Resolve: net.DefaultResolver.LookupHost, Istiod: d.Istiod, Renderings: renderings,
		}).Part(),
		workloads.Part(),
	}
	return s
}

// presentRoot takes a signing certificate that cannot be read for none: the trust part names it.
func presentRoot(ctx context.Context, pass *member.Pass) (root []string, isOurs bool, err error) {
	root, isOurs, err = trust.PresentRoot(ctx, pass)
	if errors.Is(err, mesh.ErrForeignRoot) {
		return nil, false, nil
	}
	return root, isOurs, err
}

// Steps are those of all parts, in the order in which they run.
func (s *Set) Steps() []member.Step {
	var steps []member.Step
	for i := range s.List {
		p := &s.List[i]
		for _, step := range p.Steps {
			run := step.Run
			step.Run = func(ctx context.Context, pass *member.Pass) phase.Result {
				pass.Begin(p)
				return run(ctx, pass)
			}
			steps = append(steps, step)
		}
	}
	slices.SortStableFunc(steps, func(a, b member.Step) int { return cmp.Compare(a.Round, b.Round) })
	return steps
}

// Rendered is what a work order makes of charts.
func (s *Set) Rendered(ctx context.Context, pass *member.Pass, spec *meshv1alpha1.MeshMemberSpec) ([]apply.Component, error) {
	var all []apply.Component
	for _, p := range s.List {
		if p.Rendered == nil {
			continue
		}
		components, err := p.Rendered(ctx, pass, spec)
		if err != nil {
			return nil, err
		}
		all = append(all, components...)
	}
	return all, nil
}

// Target are the components that the upgrade under way brings. Nil: there is none.
func (s *Set) Target(spec *meshv1alpha1.MeshMemberSpec) []string {
	if spec.Rollout == nil {
		return nil
	}
	var names []string
	for _, p := range s.List {
		if p.Target != nil {
			names = append(names, p.Target(spec)...)
		}
	}
	return names
}

// Kinds are those of the objects that the operator makes in members, each once.
func (s *Set) Kinds() []client.Object {
	var kinds []client.Object
	seen := map[reflect.Type]bool{}
	for _, p := range s.List {
		for _, kind := range p.Kinds {
			if t := reflect.TypeOf(kind); !seen[t] {
				seen[t] = true
				kinds = append(kinds, kind)
			}
		}
	}
	return kinds
}

// Rules are the permissions that parts need in a member, besides those that the charts' roles contain: in all of it, and in the control
// plane's namespace only.
func (s *Set) Rules() (cluster, namespace []rbacv1.PolicyRule) {
	for _, p := range s.List {
		cluster, namespace = append(cluster, p.Rules...), append(namespace, p.NamespaceRules...)
	}
	return cluster, namespace
}

// RemovalOrder sorts the names of components for removal: the reverse of their making. One that no part knows, as of a newer operator,
// goes first: what it rests on is still there.
func (s *Set) RemovalOrder(components []string) []string {
	return slices.SortedStableFunc(slices.Values(components), func(a, b string) int { return cmp.Compare(s.rank(b), s.rank(a)) })
}

// rank is the place of a component in the order of making.
func (s *Set) rank(component string) int {
	n := 0
	for _, p := range s.List {
		for _, name := range p.Components {
			if member.Named(component)(name) {
				return n
			}
			n++
		}
	}
	return n
}

// Owner is the part that makes a component, or nil.
func (s *Set) Owner(component string) *member.Part {
	i := slices.IndexFunc(s.List, func(p member.Part) bool { return p.Makes(component) })
	if i < 0 {
		return nil
	}
	return &s.List[i]
}

// Forget drops what parts remember of a member beside its connection.
func (s *Set) Forget(key types.NamespacedName) { s.ControlPlane.Forget(key) }
