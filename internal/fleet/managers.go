package fleet

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
)

// keepManagers leaves of an object's managed fields who changed something outside of its status, and when. The rest is most
// of a small object's size.
func keepManagers(o any) (any, error) {
	accessor, err := meta.Accessor(o)
	if err != nil {
		// What is no object has no managed fields: the tombstone of one that was deleted.
		return o, nil //nolint:nilerr // see above
	}
	var kept []metav1.ManagedFieldsEntry
	for _, entry := range accessor.GetManagedFields() {
		if entry.Subresource == "" {
			kept = append(kept, metav1.ManagedFieldsEntry{Manager: entry.Manager, Operation: entry.Operation, Time: entry.Time})
		}
	}
	accessor.SetManagedFields(kept)
	return o, nil
}

// StatusAside passes changes of an object but for those of its status alone. An autoscaler writes its status each 15 seconds
// for ever, and has no generation that would tell. A second change by the same manager in the same second is not seen: the
// next pass of the member finds it.
func StatusAside() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetResourceVersion() == e.ObjectNew.GetResourceVersion() || !sameButForStatus(e.ObjectOld, e.ObjectNew)
	}}
}

func sameButForStatus(a, b client.Object) bool {
	return a.GetUID() == b.GetUID() && a.GetGeneration() == b.GetGeneration() && a.GetDeletionTimestamp().Equal(b.GetDeletionTimestamp()) &&
		slices.EqualFunc(a.GetManagedFields(), b.GetManagedFields(), func(x, y metav1.ManagedFieldsEntry) bool {
			return x.Manager == y.Manager && x.Operation == y.Operation && x.Time.Equal(y.Time)
		})
}
