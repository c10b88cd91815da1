package member

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/metrics"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/status"
)

// Pass is one pass over one member. The zero value with an Object is a pass over a member that is not connected.
type Pass struct {
	// Object is the MeshMember. Steps write its status, never its spec.
	Object *meshv1alpha1.MeshMember
	// Now is the time of the pass.
	Now time.Time
	// Hub reads the hub.
	Hub client.Reader
	// Remote reads and writes the member's API server, without a cache. Nil: the member is not connected.
	Remote client.Client
	// World is what is read of the cluster at most once in a pass.
	World *World
	// Target are the components that the upgrade under way brings into the member, see Part.Target.
	Target []string
	// Claimed says that a step of this pass has found the claim of this member in the cluster.
	Claimed bool
	// Aside are the conditions that Ready does not depend on.
	Aside []status.Outcome

	state *State
	// part is the one whose step runs.
	part *Part
	// siblings are those that were read, see Siblings.
	siblings *[]meshv1alpha1.MeshMember
	results  map[string]phase.Result
	wrote    map[string]bool
	// restart is why istiod must be restarted, as far as steps of this pass have found out.
	restart *meshv1alpha1.RestartNeed
	// refused is the first refusal of an object of the target, see Apply.
	refused *apply.Refusal
}

// Key names the MeshMember.
func (p *Pass) Key() types.NamespacedName { return client.ObjectKeyFromObject(p.Object) }

// Namespace is the control plane's namespace in the member.
func (p *Pass) Namespace() string { return p.Object.Spec.ControlPlaneNamespace }

// Owner identifies the installation on objects in members: label values may not contain a slash.
func (p *Pass) Owner() string { return p.Object.Namespace + "." + p.Object.Spec.Installation }

// Attach gives the pass the member's cluster.
func (p *Pass) Attach(s *State) {
	p.state, p.Remote = s, s.connection.Client
	p.World = NewWorld(s.connection.Client, p.Namespace())
}

// Config reaches the member's API server for what needs its own streams, such as port-forwarding. Precondition: Attach.
func (p *Pass) Config() *rest.Config { return p.state.connection.Config }

// Cache has the watches of the operator's objects in the member. Precondition: Attach.
func (p *Pass) Cache() cache.Cache { return p.state.connection.Cluster.GetCache() }

// Metadata reads the metadata of the operator's objects in the member. Precondition: Attach.
func (p *Pass) Metadata() *fleet.Metadata { return p.state.connection.Metadata }

// Applier applies components to the member. Steps use Apply, which counts; this is for what only reads or deletes.
// Precondition: Attach.
func (p *Pass) Applier() *apply.Applier { return p.state.applier }

// Begin says that a step of a part begins. From then on only components of that part are applied: one that the part does not list would
// stay in the member when the mesh is removed.
func (p *Pass) Begin(part *Part) { p.part = part }

// Apply applies a component, counts what it wrote, and keeps the first refusal that speaks against the target of the upgrade under
// way.
func (p *Pass) Apply(ctx context.Context, c apply.Component) error {
	if p.part != nil && !p.part.Makes(c.Name) {
		return fmt.Errorf("part %s does not list component %q", p.part.Name, c.Name)
	}
	wrote, err := p.state.applier.Apply(ctx, c)
	if len(wrote) > 0 {
		if p.wrote == nil {
			p.wrote = map[string]bool{}
		}
		p.wrote[c.Name] = true
		metrics.AddWrites(p.Key(), c.Name, len(wrote))
		log.FromContext(ctx).Info("Applied component", "component", c.Name, "count", len(wrote))
		log.FromContext(ctx).V(1).Info("Wrote objects", "component", c.Name, "diff", wrote)
	}
	if p.refused == nil && p.RefusesTarget(err) {
		p.refused = apply.AsRefusal(err)
	}
	return err
}

// RefusesTarget is true for an error by which the API server refuses an object of what the upgrade under way brings into the member.
func (p *Pass) RefusesTarget(err error) bool {
	refusal, order := apply.AsRefusal(err), p.Object.Spec.Rollout
	return refusal != nil && refusal.IsFinal() && order != nil && mesh.BringsTarget(order.Stage) &&
		slices.Contains(p.Target, refusal.Component)
}

// Refused is the first refusal of an object of the target in this pass, or nil.
func (p *Pass) Refused() *apply.Refusal { return p.refused }

// Wrote is true when this pass has written something of a component.
func (p *Pass) Wrote(component string) bool { return p.wrote[component] }

// Look is the cluster as of now, for what would go wrong if the pods were older than what is read beside them.
func (p *Pass) Look() *World { return NewWorld(p.Remote, p.Namespace()) }

// Record keeps how a step ended.
func (p *Pass) Record(step string, result phase.Result) {
	if p.results == nil {
		p.results = map[string]phase.Result{}
	}
	p.results[step] = result
}

// Result is how a step of this pass ended. The zero value, which is Done, is that of a step that did not run.
func (p *Pass) Result(step string) phase.Result { return p.results[step] }

// Renews says whether steps that renew run although a gate has ended the pass: the cluster is the member's, and an istiod in it depends on
// what ends. A MeshMember that is new, or was lost, takes over first what runs.
func (p *Pass) Renews() bool {
	return p.Claimed && p.Object.Status.Recovered == nil && mesh.HasServed(p.Object)
}

// NeedRestart says that istiod must be restarted. Discovery reports it: one restart cures what several parts need it for.
func (p *Pass) NeedRestart(reason, message string) {
	p.restart = &meshv1alpha1.RestartNeed{Reason: reason, Message: message}
}

// RestartNeeded is why istiod must be restarted, or nil.
func (p *Pass) RestartNeeded() *meshv1alpha1.RestartNeed { return p.restart }

// Siblings are the other members of the mesh, without those that leave, as of when they were first needed in the pass. They share their
// memory with the hub's cache and must not be changed: each names all others, and a copy of all of them would be most of a pass.
func (p *Pass) Siblings(ctx context.Context) ([]meshv1alpha1.MeshMember, error) {
	if p.siblings != nil {
		return *p.siblings, nil
	}
	members := &meshv1alpha1.MeshMemberList{}
	if err := p.Hub.List(ctx, members, client.InNamespace(p.Object.Namespace),
		client.MatchingLabels{meshv1alpha1.LabelInstallation: p.Object.Spec.Installation}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	siblings := slices.DeleteFunc(members.Items, func(m meshv1alpha1.MeshMember) bool {
		return m.UID == p.Object.UID || m.Spec.Removal == meshv1alpha1.RemovalNow
	})
	p.siblings = &siblings
	return siblings, nil
}
