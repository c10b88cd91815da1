package apply

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// Identify gives the Applier the origin of the member's claim. From then on cluster-scoped objects carry it: the name of an installation
// alone does not tell which hub they belong to, and without their namespace nothing else does.
func (a *Applier) Identify(origin string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.owner.Origin = origin
}

func originOf(a *Applier) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.owner.Origin
}

// Sweep deletes the cluster-scoped objects of the kinds that carry the labels of this installation and of its claim, whatever inventories
// list, and reports whether none is left. It is for what outlives the namespace of the inventories. Kinds that the cluster does not have
// are skipped; definitions of resources are never deleted.
func (a *Applier) Sweep(ctx context.Context, kinds []schema.GroupVersionKind) (bool, error) {
	if originOf(a) == "" {
		return false, errors.New("the claim of the member has no origin: its cluster-scoped objects cannot be told from those of others")
	}
	gone := true
	var errs []error
	for _, kind := range kinds {
		left, err := sweepKind(ctx, a, kind)
		gone = gone && left == 0
		errs = append(errs, err)
	}
	err := errors.Join(errs...)
	return gone && err == nil, err
}

// sweepKind deletes the objects of one kind, and counts those that are still there afterwards.
func sweepKind(ctx context.Context, a *Applier, kind schema.GroupVersionKind) (left int, err error) {
	mapping, err := a.client.RESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
	if isNoKind(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find the resource of %s: %w", kind.Kind, err)
	}
	if mapping.Scope.Name() != meta.RESTScopeNameRoot || kind.Kind == "CustomResourceDefinition" || kind.Kind == "Namespace" {
		return 0, nil
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	if err := a.client.List(ctx, list, client.MatchingLabels{
		managedBy: fieldManager, meshv1alpha1.LabelInstallation: a.owner.Installation, meshv1alpha1.LabelOrigin: originOf(a),
	}); err != nil {
		return 0, fmt.Errorf("list %s: %w", mapping.Resource.Resource, err)
	}
	var errs []error
	for i := range list.Items {
		live := &list.Items[i]
		live.SetGroupVersionKind(kind)
		ref := Reference{Group: kind.Group, Version: kind.Version, Kind: kind.Kind, Name: live.Name}
		if live.DeletionTimestamp.IsZero() {
			errs = append(errs, a.delete(ctx, ref, live))
		}
		after, err := a.get(ctx, ref)
		if after != nil && after.UID == live.UID {
			left++
		}
		errs = append(errs, err)
	}
	return left, errors.Join(errs...)
}
