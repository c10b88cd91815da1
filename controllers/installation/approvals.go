package installation

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/plan/rollout"
	"github.com/meshfleet/meshfleet/internal/status"
)

func (r upgradeRecords) approvals(ctx context.Context, u *meshv1alpha1.MeshUpgrade) ([]meshv1alpha1.MeshApproval, error) {
	found := &meshv1alpha1.MeshApprovalList{}
	if err := r.client.List(ctx, found, client.InNamespace(u.Namespace)); err != nil {
		return nil, fmt.Errorf("list approvals: %w", err)
	}
	return slices.DeleteFunc(found.Items, func(a meshv1alpha1.MeshApproval) bool { return a.Spec.UpgradeRef.UID != u.UID }), nil
}

// askApproval makes the question of a wave exist. Its answer is a person's.
func (r *Reconciler) askApproval(ctx context.Context, u *meshv1alpha1.MeshUpgrade, asked rollout.Request) error {
	a := &meshv1alpha1.MeshApproval{ObjectMeta: metav1.ObjectMeta{
		Name: asked.Name, Namespace: u.Namespace,
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(u, meshv1alpha1.GroupVersion.WithKind("MeshUpgrade"))},
	}, Spec: meshv1alpha1.MeshApprovalSpec{
		UpgradeRef: meshv1alpha1.UpgradeRef{Name: u.Name, UID: u.UID}, Wave: asked.Wave, Decision: meshv1alpha1.DecisionPending,
	}}
	err := r.Client.Create(ctx, a)
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create MeshApproval %q: %w", a.Name, err)
	}
	r.Events.Eventf(u, a, "Normal", "ApprovalRequested", "Upgrade", "Requested approval of wave %q: set spec.decision of MeshApproval %s", asked.Wave, a.Name)
	return nil
}

// noteApprovals writes what became of the answers to the approvals of all upgrades that are kept: people may answer one whose
// upgrade is over.
func (r *Reconciler) noteApprovals(ctx context.Context, inst *meshv1alpha1.MeshInstallation, history []meshv1alpha1.MeshUpgrade) error {
	found := &meshv1alpha1.MeshApprovalList{}
	if err := r.Client.List(ctx, found, client.InNamespace(inst.Namespace)); err != nil {
		return fmt.Errorf("list approvals: %w", err)
	}
	for i := range found.Items {
		a := &found.Items[i]
		j := slices.IndexFunc(history, func(u meshv1alpha1.MeshUpgrade) bool { return u.Name == a.Spec.UpgradeRef.Name })
		if j < 0 {
			continue
		}
		before := a.DeepCopy()
		status.SetApproval(a, &history[j], r.Now())
		if equality.Semantic.DeepEqual(before.Status, a.Status) {
			continue
		}
		if err := r.Client.Status().Patch(ctx, a, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("write the status of MeshApproval %q: %w", a.Name, err)
		}
	}
	return nil
}
