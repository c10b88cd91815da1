package status

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// recordRemoval writes an event when a member that is to leave begins to wait for its workloads, and when that ends.
func recordRemoval(r events.EventRecorder, before, after *meshv1alpha1.MeshMember) {
	waits := func(m *meshv1alpha1.MeshMember) bool { return m.Status.Removal != nil && m.Status.Removal.Proxies > 0 }
	switch {
	case !waits(before) && waits(after):
		r.Eventf(after, nil, corev1.EventTypeWarning, "RemovalWaits", "Remove",
			"Began to wait for %d pods with a proxy of the mesh before the member leaves", after.Status.Removal.Proxies)
	case waits(before) && !waits(after) && after.Spec.Removal == "":
		r.Eventf(after, nil, corev1.EventTypeNormal, "RemovalCancelled", "Remove", "Ended the wait for workloads: the member stays")
	case waits(before) && !waits(after) && after.Status.Removal == nil:
		r.Eventf(after, nil, corev1.EventTypeWarning, "RemovalForced", "Remove",
			"Ended the wait for %d pods with a proxy of the mesh: spec.deletionPolicy is Force", before.Status.Removal.Proxies)
	case waits(before) && !waits(after):
		r.Eventf(after, nil, corev1.EventTypeNormal, "RemovalUnblocked", "Remove", "Ended the wait for workloads: no proxy of the mesh runs in the member")
	}
}
