package apply

import (
	"context"
	"encoding/json"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// DryRun asks the API server whether it would take the component's objects, and changes nothing. The error joins those of
// the objects: a Refusal for each that it does not take, ErrConflict for each that is somebody else's, and what else kept
// the API server from telling. What was taken once is not asked about again until Recheck.
func (a *Applier) DryRun(ctx context.Context, c Component) error {
	_, err := each(c.Objects, func(o *unstructured.Unstructured) (string, error) { return "", a.dryRunOne(ctx, o, c) })
	return err
}

// Recheck forgets what dry runs have found.
func (a *Applier) Recheck() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.taken)
}

func (a *Applier) dryRunOne(ctx context.Context, o *unstructured.Unstructured, c Component) error {
	desired := a.label(o, c)
	key, hash := refOf(desired).String(), hashOf(desired)
	a.mu.Lock()
	last, isKnown := a.taken[key]
	a.mu.Unlock()
	if isKnown && last == hash {
		return nil
	}
	live, err := a.live(ctx, desired)
	if err != nil {
		return err
	}
	if live != nil {
		if skip, err := a.foreign(live, desired, c); err != nil || skip {
			return err
		}
	}
	keepRuntimeFields(desired, live)
	if live == nil || !holds(desired.Object, live.Object) || isSurplus(desired, live) {
		if err := refuse(c.Name, desired, a.wouldApply(ctx, desired, live, c.Shared)); err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.taken[key] = hash
	return nil
}

// wouldApply is what serverSideApply would meet with.
func (a *Applier) wouldApply(ctx context.Context, desired, live *unstructured.Unstructured, shared bool) error {
	err := a.client.Patch(ctx, desired.DeepCopy(), client.Apply, client.DryRunAll, client.ForceOwnership, client.FieldOwner(fieldManager)) //nolint:staticcheck // as package ssa does
	if live == nil || shared || !apierrors.IsInvalid(err) {
		return err
	}
	raw, marshalErr := json.Marshal(desired.Object)
	if marshalErr != nil {
		return err
	}
	if a.client.Patch(ctx, live.DeepCopy(), client.RawPatch(types.MergePatchType, raw), client.DryRunAll, client.FieldOwner(repairManager)) == nil {
		return nil
	}
	return err
}
