// Package mesh has the words that all parts share: what a work order is about, and how names are told in messages.
package mesh

import (
	"fmt"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// IstiodSynced is istiod's word for a cluster whose caches it has filled.
const IstiodSynced = "synced"

// RevisionsInUse are the revisions that namespaces, tags or the gateway of a work order use.
func RevisionsInUse(spec *meshv1alpha1.MeshMemberSpec) map[string]bool {
	used := map[string]bool{spec.DefaultRevision: true, spec.GatewayRevision: true}
	for _, t := range spec.Tags {
		used[t.Revision] = true
	}
	return used
}

// IsRestoring says that a MeshMember is being made again from its snapshot: its status is not complete yet.
func IsRestoring(m *meshv1alpha1.MeshMember) bool {
	_, marked := m.Annotations[meshv1alpha1.AnnotationRestoring]
	return marked
}

// KeptBy says what keeps a member that is to leave, and the cure. Precondition: its status has a count.
func KeptBy(m *meshv1alpha1.MeshMember) string {
	st := m.Status.Removal
	return fmt.Sprintf("%d pods with a proxy of this mesh run in member %s: %s; remove them or restart them without a sidecar, "+
		"or set spec.deletionPolicy of the MeshInstallation to Force", st.Proxies, m.Spec.Cluster, List(st.Sample, int(st.Proxies)))
}
