package controlplane

import (
	"context"
	"errors"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/peercache"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/rendering"
)

// Steps of a member's control planes.
type Steps struct {
	// Charts renders Istio's charts.
	Charts charts.Renderer
	// Istiod asks istiod pods who is connected.
	Istiod member.Istiod
	// Renderings has what charts made of revisions that are installed.
	Renderings rendering.Store
	// Reach connects peers, which are asked whether a revision of this member serves proxies of theirs.
	Reach func(types.NamespacedName) (*fleet.Connection, error)
	// WatchIstio starts the watches of kinds that the CRDs of the foundation define.
	WatchIstio func(context.Context, *member.Pass) error

	memory member.Memory[memory]
	// orphans has each member's pods with proxies that only a peer could serve.
	orphans peercache.Cache[map[string]users]
}

// memory is what is remembered of a member's control planes between passes.
type memory struct {
	tags tagMemory
	// retiring are the revisions that the work order no longer names, by name.
	retiring map[string]retirement
	// inPlace are the reasons why revisions of the work order are neither rendered nor applied, by name.
	inPlace map[string]string
	// lost are the notes on pods that did not count when a revision was last asked about, by its name.
	lost map[string]string
}

func (m *memory) noteLost(revision, note string) {
	delete(m.lost, revision)
	if note == "" {
		return
	}
	if m.lost == nil {
		m.lost = map[string]string{}
	}
	m.lost[revision] = note
}

// Forget drops what is remembered of a member that is gone.
func (s *Steps) Forget(key types.NamespacedName) { s.orphans.Forget(key) }

// Part is what the steps make: CRDs, the reader account, one istiod for each revision, and the tags.
func (s *Steps) Part() member.Part {
	return member.Part{
		Name: "controlplane",
		Steps: []member.Step{
			{Name: "foundation", Round: member.Prepare, Run: s.foundation, Gate: true},
			{Name: "install", Condition: meshv1alpha1.ConditionControlPlanesReady, Round: member.Install, Run: s.install, Gate: true},
			{Name: "retire", Condition: meshv1alpha1.ConditionControlPlanesReady, Round: member.Serve, Run: s.retire},
			{Name: "serve", Condition: meshv1alpha1.ConditionControlPlanesReady, Round: member.Serve, Run: s.serve, Gate: true},
		},
		Components: []string{CRDs, Base, Reader, RevisionPrefix + "*", Tags},
		Rendered:   s.rendered,
		Target: func(spec *meshv1alpha1.MeshMemberSpec) []string {
			return []string{CRDs, Base, Reader, RevisionPrefix + spec.Rollout.To.Name, Tags}
		},
		Kinds: []client.Object{
			&corev1.ConfigMap{}, &corev1.Service{}, &corev1.ServiceAccount{}, &appsv1.Deployment{},
			&autoscalingv2.HorizontalPodAutoscaler{}, &policyv1.PodDisruptionBudget{},
			&rbacv1.Role{}, &rbacv1.RoleBinding{}, &rbacv1.ClusterRole{}, &rbacv1.ClusterRoleBinding{},
			&admissionregistrationv1.MutatingWebhookConfiguration{}, &admissionregistrationv1.ValidatingWebhookConfiguration{},
			&apiextensionsv1.CustomResourceDefinition{},
		},
		Rules: rules(), NamespaceRules: namespaceRules(),
	}
}

func rules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		// CRDs outlive an installation, because deleting one deletes users' configuration.
		member.Rule("apiextensions.k8s.io", member.Keep, "customresourcedefinitions"),
		// What the charts consist of, besides inventories, as far as it has no namespace.
		member.Rule("rbac.authorization.k8s.io", member.Own, "clusterrolebindings", "clusterroles"),
		member.Rule("admissionregistration.k8s.io", member.Own,
			"mutatingwebhookconfigurations", "validatingadmissionpolicies", "validatingadmissionpolicybindings",
			"validatingwebhookconfigurations"),
		// The rest is written in one namespace, and watched in all.
		member.Rule("", member.Watch, "configmaps", "pods", "serviceaccounts", "services"),
		member.Rule("apps", member.Watch, "deployments"),
		member.Rule("autoscaling", member.Watch, "horizontalpodautoscalers"),
		member.Rule("policy", member.Watch, "poddisruptionbudgets"),
		member.Rule("networking.k8s.io", member.Watch, "networkpolicies"),
		member.Rule("rbac.authorization.k8s.io", member.Watch, "rolebindings", "roles"),
		// What names a tag or a revision that is to go.
		member.Rule("", member.Read, "namespaces"),
		member.Rule("apps", member.Read, "daemonsets", "statefulsets"),
		member.Rule("batch", member.Read, "cronjobs", "jobs"),
		member.Rule("gateway.networking.k8s.io", member.Read, "gateways"),
	}
}

func namespaceRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		member.Rule("", member.Own, "configmaps", "serviceaccounts", "services"),
		member.Rule("apps", member.Own, "deployments"),
		member.Rule("autoscaling", member.Own, "horizontalpodautoscalers"),
		member.Rule("policy", member.Own, "poddisruptionbudgets"),
		member.Rule("networking.k8s.io", member.Own, "networkpolicies"),
		member.Rule("rbac.authorization.k8s.io", member.Own, "rolebindings", "roles"),
		// Istiod's debug endpoints through a port-forward.
		member.Rule("", []string{"create", "get"}, "pods/portforward"),
	}
}

// foundation applies what all revisions share: CRDs, the reader account with its permissions, and the default validator. It needs no
// certificate, so it does not wait for one.
//
// A member that goes back has all of it from before. What is refused then stays as it is.
func (s *Steps) foundation(ctx context.Context, pass *member.Pass) phase.Result {
	components, err := s.shared(ctx, pass)
	if err != nil {
		return outcome.RenderFailed(err)
	}
	for _, c := range components {
		err := pass.Apply(ctx, c)
		if mesh.IsRollingBack(pass.Object) && apply.AsRefusal(err) != nil {
			log.FromContext(ctx).Info("Going back without objects that the API server refuses", "component", c.Name, "reason", err.Error())
			continue
		}
		if err != nil {
			return outcome.Failed(err)
		}
	}
	if err := s.WatchIstio(ctx, pass); err != nil {
		return outcome.Failed(err)
	}
	return phase.Complete(meshv1alpha1.ReasonReady, "")
}

// install applies every istiod. Precondition: cacerts, because an istiod that starts without it makes a root of its
// own. One that is only being tried and that the API server refuses does not keep the member from what the other needs. One that is
// gone back from stays as it is.
//
// One that this operator cannot render stays as it is, if it is there. If it is not, it can only be missed when it is in use.
func (s *Steps) install(ctx context.Context, pass *member.Pass) phase.Result {
	spec, inUse := &pass.Object.Spec, mesh.RevisionsInUse(&pass.Object.Spec)
	inPlace := map[string]string{}
	s.memory.Of(pass).inPlace = inPlace
	for i := range spec.Revisions {
		rev := &spec.Revisions[i]
		if mesh.IsRollingBack(pass.Object) && rev.Name == spec.Rollout.To.Name {
			s.restrict(ctx, pass, rev)
			continue
		}
		c, err := s.maker(ctx, pass).Revision(spec, rev)
		switch {
		case errors.Is(err, rendering.ErrInPlace), errors.Is(err, charts.ErrNoChart) && !inUse[rev.Name]:
			inPlace[rev.Name] = "revision " + rev.Name + ": " + err.Error()
			continue
		case err != nil:
			return outcome.RenderFailed(err)
		}
		if err := s.Renderings.Apply(ctx, pass, c); err != nil && (pass.Refused() == nil || inUse[rev.Name]) {
			return outcome.Failed(err)
		}
	}
	return phase.Complete(meshv1alpha1.ReasonProgressing, "istiod is applied")
}

// restrict takes from the istiod that is gone back from what would make two of them write for the same Gateways. Going back needs
// nothing of the target, so it goes on when that fails.
func (s *Steps) restrict(ctx context.Context, pass *member.Pass, rev *meshv1alpha1.Revision) {
	c, err := s.maker(ctx, pass).Restriction(&pass.Object.Spec, rev)
	if err == nil && len(c.Objects) > 0 {
		err = pass.Apply(ctx, c)
	}
	if err != nil {
		log.FromContext(ctx).Info("Going back although the target cannot be restricted", "revision", rev.Name, "reason", err.Error())
	}
}
