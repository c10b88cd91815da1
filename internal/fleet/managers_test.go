package fleet

import (
	"strconv"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/event"
)

// TestStatusAside has an autoscaler as the API server returns it, before and after a change.
func TestStatusAside(t *testing.T) {
	at := func(seconds int) *metav1.Time { return &metav1.Time{Time: time.Unix(int64(seconds), 0)} }
	entry := func(manager, subresource string, seconds int) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, Subresource: subresource, Time: at(seconds),
			FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1("{}")}
	}
	scaler := func(version string, fields ...metav1.ManagedFieldsEntry) *autoscalingv2.HorizontalPodAutoscaler {
		h := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "gw", UID: "a", ResourceVersion: version, ManagedFields: fields}}
		if _, err := keepManagers(h); err != nil {
			t.Fatal(err)
		}
		return h
	}
	ours := entry("meshfleet", "", 1)
	for name, c := range map[string]struct {
		after *autoscalingv2.HorizontalPodAutoscaler
		want  bool
	}{
		"its status":                {scaler("2", ours, entry("kube-controller-manager", "status", 16)), false},
		"a person edits it":         {scaler("2", ours, entry("kubectl-edit", "", 16)), true},
		"the same manager again":    {scaler("2", entry("meshfleet", "", 16)), true},
		"a field was taken over":    {scaler("2"), true},
		"nothing, after a new list": {scaler("1", ours), true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := StatusAside().Update(event.UpdateEvent{ObjectOld: scaler("1", ours), ObjectNew: c.after}); got != c.want {
				t.Errorf("passes: %v, want %v", got, c.want)
			}
		})
	}
	kept := scaler("1", ours, entry("kube-controller-manager", "status", 16)).ManagedFields
	if len(kept) != 1 || kept[0].FieldsV1 != nil {
		t.Errorf("kept %v, want one entry without fields", kept)
	}
	if o, err := keepManagers(cache.DeletedFinalStateUnknown{Key: "a"}); err != nil || o == nil {
		t.Errorf("a tombstone: %v, %v", o, err)
	}
}

// TestAnAutoscalerCausesNoPass counts the passes that an autoscaler causes in an hour, in which it writes its status each 15 seconds, and
// is changed once.
func TestAnAutoscalerCausesNoPass(t *testing.T) {
	const hour, pace, edited = 3600, 15, 1800
	at := func(second int) *metav1.Time { return &metav1.Time{Time: time.Unix(int64(second), 0)} }
	seen := func(second, changed int) *autoscalingv2.HorizontalPodAutoscaler {
		h := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{
			Name: "istiod", UID: "a", ResourceVersion: strconv.Itoa(second), ManagedFields: []metav1.ManagedFieldsEntry{
				{Manager: "meshfleet", Operation: metav1.ManagedFieldsOperationApply, Time: at(changed)},
				{Manager: "kube-controller-manager", Operation: metav1.ManagedFieldsOperationUpdate, Subresource: "status", Time: at(second)},
			},
		}}
		if _, err := keepManagers(h); err != nil {
			t.Fatal(err)
		}
		return h
	}
	passes, last, changed := 0, seen(0, 0), 0
	for second := pace; second <= hour; second += pace {
		if second == edited {
			changed = second
		}
		next := seen(second, changed)
		if StatusAside().Update(event.UpdateEvent{ObjectOld: last, ObjectNew: next}) {
			passes++
		}
		last = next
	}
	if passes != 1 {
		t.Errorf("%d passes in an hour, want one, for the change", passes)
	}
}
