package status

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// recordRemoval writes an event when the removal of a member starts to wait for pods, and when the wait ends.
func recordRemoval(r events.EventRecorder, before, after *meshv1alpha1.MeshMember) {
	waits := func(m *meshv1alpha1.MeshMember) bool { return m.Status.Removal != nil && m.Status.Removal.Proxies > 0 }
	switch {
	case !waits(before) && waits(after):
		r.Eventf(after, nil, corev1.EventTypeWarning, "RemovalWaits", "Remove",
			"Started to wait for %d pods with a proxy of the mesh before the member is removed", after.Status.Removal.Proxies)
	case waits(before) && !waits(after) && after.Spec.Removal == "":
		r.Eventf(after, nil, corev1.EventTypeNormal, "RemovalCancelled", "Remove", "Stopped waiting for pods: the member is not removed")
	case waits(before) && !waits(after) && after.Status.Removal == nil:
		r.Eventf(after, nil, corev1.EventTypeWarning, "RemovalForced", "Remove",
			"Stopped waiting for %d pods with a proxy of the mesh: spec.deletionPolicy is Force", before.Status.Removal.Proxies)
	case waits(before) && !waits(after):
		r.Eventf(after, nil, corev1.EventTypeNormal, "RemovalUnblocked", "Remove", "Stopped waiting for pods: no proxy of the mesh runs in the member")
	}
}
