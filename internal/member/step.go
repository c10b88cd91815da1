package member

import (
	"context"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/phase"
)

// Round is the place of a step in a pass. All steps of a round run, in the order of the parts. After a round with a gate that is not
// done, the pass ends.
type Round int

const (
	// Vet decides whether the cluster may be a member. Nothing is written there.
	Vet Round = iota
	// Claim makes it the member of this mesh.
	Claim
	// Prepare is for what an istiod needs to be there before it starts, and for what must be renewed whatever else is wrong.
	Prepare
	// Install applies istiods. A certificate is in place.
	Install
	// Serve waits for istiods.
	Serve
	// Prove asks the istiods that serve.
	Prove
	// Connect lets traffic between clusters in. The root of the mesh is in force.
	Connect
)

// Step is one step of a pass over a member.
type Step struct {
	// Name of the step in metrics, logs and Pass.Result.
	Name string
	// Condition that it decides. Empty: it only counts for Ready.
	Condition string
	// Round in which it runs.
	Round Round
	// Run brings the member one step further and says how far it is.
	Run func(context.Context, *Pass) phase.Result
	// Gate is true when later rounds make no sense before this step is done, or its result is Passable.
	Gate bool
	// Renews is true for a step that renews what a member has and would lose in time: it runs in a member that serves even if a gate
	// of an earlier round has ended the pass, see Pass.Renews.
	Renews bool
}

// Part is one thing that a member consists of.
type Part struct {
	// Name of its package.
	Name string
	// Steps of a pass.
	Steps []Step
	// Components are the names of what it applies, in the order in which they are made. A name that ends in `*` is a prefix.
	Components []string
	// Rendered is what a work order makes of charts: the preflight compares it before and after an upgrade, and asks the API server
	// whether it takes it. It writes nothing. Nil: nothing of the part depends on the release.
	Rendered func(context.Context, *Pass, *meshv1alpha1.MeshMemberSpec) ([]apply.Component, error)
	// Target are the names of the components that the upgrade under way brings. What the API server refuses of them speaks against the
	// target. Nil: an upgrade brings nothing of the part.
	Target func(*meshv1alpha1.MeshMemberSpec) []string
	// Undo takes back what the part has written into objects that are not its own, before its components are deleted. Nil: nothing.
	Undo func(context.Context, *Pass) error
	// Kinds of the objects that it makes: the operator watches them in members.
	Kinds []client.Object
	// Rules are the permissions that the part itself needs in all of a member, besides those that the charts' roles contain.
	Rules []rbacv1.PolicyRule
	// NamespaceRules are those that it needs in the control plane's namespace only.
	NamespaceRules []rbacv1.PolicyRule
}

// Makes is true for a component of the part.
func (p *Part) Makes(component string) bool {
	return slices.ContainsFunc(p.Components, Named(component))
}

// Named is true for the name of a component in Part.Components: that name itself, or a prefix of it.
func Named(component string) func(name string) bool {
	return func(name string) bool {
		prefix, isPrefix := strings.CutSuffix(name, "*")
		return component == name || isPrefix && strings.HasPrefix(component, prefix)
	}
}

// Rule is a permission for resources of one API group.
func Rule(group string, verbs []string, resources ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: verbs}
}

// Verbs of Rule: what is made and kept by the operator, what it may write and must not delete, what it reads, and what it watches.
var (
	Own  = []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	Keep = []string{"get", "list", "watch", "create", "update", "patch"}
	Read = []string{"get", "list"}
	// Watch is what the operator's caches need: they watch all namespaces.
	Watch = []string{"get", "list", "watch"}
)
