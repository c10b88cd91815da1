package apply

import (
	"context"
	"encoding/json"

	"github.com/fluxcd/pkg/ssa"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// repairManager owns what a repair writes until the apply after it takes the fields over.
const repairManager = fieldManager + "-repair"

// serverSideApply applies an object. An object of ours that exists and is refused as invalid is repaired: somebody may
// have changed the key of a list's item, such as the number of a port. Then the item counts as theirs, ours is added
// beside it, and the API server refuses the two for their common name. A merge patch puts our lists in place of theirs.
func (a *Applier) serverSideApply(ctx context.Context, desired, live *unstructured.Unstructured, shared bool) (*ssa.ChangeSetEntry, error) {
	entry, err := a.ssa.Apply(ctx, desired.DeepCopy(), ssa.DefaultApplyOptions())
	if live == nil || shared || !apierrors.IsInvalid(err) {
		return entry, err
	}
	raw, marshalErr := json.Marshal(desired.Object)
	if marshalErr != nil {
		return nil, err
	}
	patch := client.RawPatch(types.MergePatchType, raw)
	if a.client.Patch(ctx, live.DeepCopy(), patch, client.FieldOwner(repairManager)) != nil {
		// It is invalid for another reason, which the first error says best.
		return nil, err
	}
	options := ssa.DefaultApplyOptions()
	options.Cleanup.FieldManagers = []ssa.FieldManager{
		{Name: repairManager, ExactMatch: true, OperationType: metav1.ManagedFieldsOperationUpdate},
	}
	return a.ssa.Apply(ctx, desired.DeepCopy(), options)
}
