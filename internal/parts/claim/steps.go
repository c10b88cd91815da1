// Package claim makes a cluster the member of one mesh and no other. The claim is a ConfigMap in the control plane's namespace that
// records whose the cluster is, to which root it belongs, and what runs there.
package claim

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
)

const (
	// Component is the name of the claim's component.
	Component = "claim"
	name      = "meshfleet-member"
)

var (
	errClaimed = errors.New("the cluster belongs to another member")
	errForeign = errors.New("the cluster has an istiod that this mesh did not install")
)

// Steps of a member's claim.
type Steps struct {
	// HubUID identifies the hub in members: the UID of its kube-system namespace.
	HubUID string
	// PresentRoot finds the root of the signing certificate in the member: nil, if there is none, and whether the operator made it.
	PresentRoot func(context.Context, *member.Pass) (root []string, isOurs bool, err error)
	// Reconstruct finds out what runs in the member when nothing records it. Nil: nothing of this mesh. The obstacle is why that is not
	// certain. Then nothing may be changed.
	Reconstruct func(context.Context, *member.Pass) (order *meshv1alpha1.OrderInForce, obstacle string, err error)

	memory member.Memory[memory]
}

// memory is what this pass has found.
type memory struct {
	held held
	// root is what the claim is to record.
	root string
}

// Part is what the steps make: the claim, and the label of the control plane's namespace.
func (s *Steps) Part() member.Part {
	return member.Part{
		Name: "claim",
		Steps: []member.Step{
			{Name: "identify", Round: member.Vet, Run: s.identify, Gate: true},
			{Name: "claim", Round: member.Claim, Run: s.claim, Gate: true},
		},
		Components: []string{Component},
		Undo:       func(ctx context.Context, pass *member.Pass) error { return labelNamespace(ctx, pass, "") },
		Kinds:      []client.Object{&corev1.Namespace{}, &corev1.ConfigMap{}},
		Rules: []rbacv1.PolicyRule{
			// The control plane's namespace is made and labelled; users' namespaces are read; none is deleted.
			member.Rule("", member.Keep, "namespaces"),
			member.Rule("", member.Watch, "configmaps"),
			// Whether the cluster runs an istiod already.
			member.Rule("apps", member.Read, "deployments"),
		},
		NamespaceRules: []rbacv1.PolicyRule{member.Rule("", member.Own, "configmaps")},
	}
}

// identify makes sure that the cluster is this member's and nobody else's, that it belongs to the mesh's root, and that it can run the
// release. It writes nothing in the member.
func (s *Steps) identify(ctx context.Context, pass *member.Pass) phase.Result {
	memory := s.memory.Of(pass)
	found, err := s.read(ctx, pass)
	memory.held, pass.Claimed = found, found.isOurs
	if !found.isOurs {
		// Who holds the claim is the member, however new its MeshMember is.
		if result := duplicate(ctx, pass); result.Kind != phase.Done {
			return result
		}
	}
	if errors.Is(err, errClaimed) && !s.isFormerHubs(pass, found) {
		pass.Object.Status.Trust.ClaimedRoot = mesh.Claimed("")
	}
	if err != nil {
		return outcome.StalledOr(err, errClaimed, meshv1alpha1.ReasonClusterClaimed)
	}
	s.identifyOrigin(pass, found)
	if memory.root, err = s.root(ctx, pass, found); err != nil {
		return outcome.StalledOr(err, mesh.ErrForeignRoot, meshv1alpha1.ReasonForeignRoot)
	}
	if result := s.takeOver(ctx, pass, found); result.Kind != phase.Done {
		return result
	}
	if !found.isOurs {
		if err := foreignControlPlane(ctx, pass); err != nil {
			return outcome.StalledOr(err, errForeign, meshv1alpha1.ReasonForeignControlPlane)
		}
	}
	if result := runnable(pass.Object); result.Kind != phase.Done {
		return result
	}
	return phase.Complete(meshv1alpha1.ReasonReady, "the cluster belongs to this member")
}

// runnable says whether the cluster can run the releases that were ordered. A member that serves keeps one that this operator does not
// know: it goes on to be a member, and an upgrade replaces it.
func runnable(m *meshv1alpha1.MeshMember) phase.Result {
	for _, rev := range m.Spec.Revisions {
		release, isKnown := istioversion.Installable(rev.Version, !rev.Charts.IsZero())
		switch {
		case !isKnown && mesh.HasServed(m):
			continue
		case !isKnown:
			return outcome.Stalled(meshv1alpha1.ReasonVersionUnsupported, fmt.Errorf("istio %s has no charts in this operator; set spec.charts, or upgrade the mesh to one of %v",
				rev.Version, istioversion.Supported()))
		}
		if err := release.CheckKubernetes(m.Status.KubernetesVersion); err != nil {
			return outcome.Stalled(meshv1alpha1.ReasonVersionUnsupported, err)
		}
	}
	return phase.Result{}
}

// claim writes the namespace and the claim. Precondition: identify.
func (s *Steps) claim(ctx context.Context, pass *member.Pass) phase.Result {
	memory := s.memory.Of(pass)
	object, err := s.object(pass, memory.held, memory.root)
	if err != nil {
		return outcome.Failed(err)
	}
	if err := labelNamespace(ctx, pass, pass.Object.Spec.Network); err != nil {
		return outcome.Failed(err)
	}
	if err := pass.Apply(ctx, apply.Component{Name: Component, Objects: []*unstructured.Unstructured{object}}); err != nil {
		return outcome.Failed(err)
	}
	pass.Object.Status.Trust.ClaimedRoot = mesh.Claimed(memory.root)
	return phase.Complete(meshv1alpha1.ReasonReady, "the cluster is claimed")
}

// duplicate refuses a cluster that an older MeshMember of this hub already is.
func duplicate(ctx context.Context, pass *member.Pass) phase.Result {
	list := &meshv1alpha1.MeshMemberList{}
	// They are only read.
	if err := pass.Hub.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return outcome.Failed(err)
	}
	for i := range list.Items {
		o := &list.Items[i]
		if o.UID == pass.Object.UID || o.Status.ClusterUID != pass.Object.Status.ClusterUID {
			continue
		}
		if o.CreationTimestamp.Before(&pass.Object.CreationTimestamp) ||
			o.CreationTimestamp.Equal(&pass.Object.CreationTimestamp) && o.UID < pass.Object.UID {
			return outcome.Stalled(meshv1alpha1.ReasonClusterClaimed, fmt.Errorf(
				"%w: its clusterRef leads to the cluster of MeshMember %s/%s; correct the kubeconfig", errClaimed, o.Namespace, o.Name))
		}
	}
	return phase.Result{}
}

// foreignControlPlane refuses a cluster that already runs Istio: two meshes would fight over webhooks and roots.
func foreignControlPlane(ctx context.Context, pass *member.Pass) error {
	list := &appsv1.DeploymentList{}
	if err := pass.Remote.List(ctx, list, client.MatchingLabels{"app": "istiod"}); err != nil {
		return fmt.Errorf("look for other control planes: %w", err)
	}
	for i := range list.Items {
		d := &list.Items[i]
		if d.Labels[meshv1alpha1.LabelInstallation] != pass.Owner() {
			return fmt.Errorf("%w: Deployment %s/%s; uninstall it before the cluster joins", errForeign, d.Namespace, d.Name)
		}
	}
	return nil
}

// labelNamespace makes the control plane's namespace exist and say which network its cluster's pods are on, before
// istiod reads it. An empty network takes the label off. The namespace itself is never deleted: users keep Istio
// configuration in it.
func labelNamespace(ctx context.Context, pass *member.Pass, network string) error {
	ns := &corev1.Namespace{}
	err := pass.Remote.Get(ctx, client.ObjectKey{Name: pass.Namespace()}, ns)
	switch {
	case apierrors.IsNotFound(err) && network == "":
		return nil
	case apierrors.IsNotFound(err):
		ns.Name, ns.Labels = pass.Namespace(), map[string]string{charts.NetworkLabel: network}
		return pass.Remote.Create(ctx, ns)
	case err != nil:
		return fmt.Errorf("read namespace %q: %w", pass.Namespace(), err)
	case !ns.DeletionTimestamp.IsZero() && network != "":
		return fmt.Errorf("namespace %q is being deleted: %w", ns.Name, apply.ErrTerminating)
	case ns.Labels[charts.NetworkLabel] == network:
		return nil
	}
	before := ns.DeepCopy()
	if ns.Labels == nil {
		ns.Labels = map[string]string{}
	}
	ns.Labels[charts.NetworkLabel] = network
	if network == "" {
		delete(ns.Labels, charts.NetworkLabel)
	}
	return pass.Remote.Patch(ctx, ns, client.MergeFrom(before))
}
