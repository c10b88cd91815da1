package installation

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// upgradeRecords read and hold the MeshUpgrades of an installation.
type upgradeRecords struct{ client client.Client }

func (r *Reconciler) records() upgradeRecords { return upgradeRecords{client: r.Client} }

// list has all MeshUpgrades of an installation, oldest first.
func (r upgradeRecords) list(ctx context.Context, inst *meshv1alpha1.MeshInstallation) ([]meshv1alpha1.MeshUpgrade, error) {
	found := &meshv1alpha1.MeshUpgradeList{}
	if err := r.client.List(ctx, found, client.InNamespace(inst.Namespace), client.MatchingLabels{meshv1alpha1.LabelInstallation: inst.Name}); err != nil {
		return nil, fmt.Errorf("list upgrades: %w", err)
	}
	slices.SortFunc(found.Items, func(a, b meshv1alpha1.MeshUpgrade) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return found.Items, nil
}

// release lets the records of an installation go that is being deleted.
func (r upgradeRecords) release(ctx context.Context, inst *meshv1alpha1.MeshInstallation) error {
	all, err := r.list(ctx, inst)
	if err != nil {
		return err
	}
	for i := range all {
		if err := r.hold(ctx, &all[i], false); err != nil {
			return err
		}
	}
	return nil
}

// hold puts the finalizer on a record, or takes it off. One that is being deleted can get none.
func (r upgradeRecords) hold(ctx context.Context, u *meshv1alpha1.MeshUpgrade, isHeld bool) error {
	before := u.DeepCopy()
	if isHeld && !u.DeletionTimestamp.IsZero() {
		return nil
	}
	changed := false
	if isHeld {
		changed = controllerutil.AddFinalizer(u, meshv1alpha1.Finalizer)
	} else {
		changed = controllerutil.RemoveFinalizer(u, meshv1alpha1.Finalizer)
	}
	if !changed {
		return nil
	}
	if err := r.client.Patch(ctx, u, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("write the finalizer of MeshUpgrade %q: %w", u.Name, err)
	}
	return nil
}
