package plan

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// IsProtected says whether a MeshInstallation may be deleted only if its mesh is not in use. One that is being deleted already is not
// protected any more.
func IsProtected(inst *meshv1alpha1.MeshInstallation) bool {
	return inst.DeletionTimestamp.IsZero() && inst.Spec.DeletionProtection != meshv1alpha1.DeletionProtectionDisabled
}

// InUse says by which pods a mesh is used, as its members last reported, and of which members that is unknown. Empty: it is not in use. A
// member that was never asked, or does not answer, counts as one in which pods run: a mistake must not be possible because little is known.
func InUse(inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember) string {
	var pods int
	var used, unknown []string
	isPlanned := make(map[string]bool, len(members))
	for i := range members {
		m := &members[i]
		isPlanned[m.Spec.Cluster] = true
		if m.Spec.Removal == meshv1alpha1.RemovalNow {
			// The mesh is being removed from it in any case.
			continue
		}
		if why := uncounted(m); why != "" {
			unknown = append(unknown, m.Spec.Cluster+": "+why)
		} else if n := int(*m.Status.Proxies); n > 0 {
			pods += n
			used = append(used, fmt.Sprintf("%s: %d", m.Spec.Cluster, n))
		}
	}
	for i := range inst.Spec.Members {
		if name := inst.Spec.Members[i].Name; !isPlanned[name] {
			unknown = append(unknown, name+": not asked yet")
		}
	}
	var text string
	if len(used) > 0 {
		text = fmt.Sprintf("%d pods with a proxy of this mesh run in %d members (%s)", pods, len(used), mesh.List(used, len(used)))
	}
	if len(unknown) > 0 {
		if text != "" {
			text += "; "
		}
		text += fmt.Sprintf("unknown whether pods with a proxy of this mesh run in %d members (%s)", len(unknown), mesh.List(unknown, len(unknown)))
	}
	return text
}

// uncounted is why the number of a member's pods is not known. Empty: it is.
func uncounted(m *meshv1alpha1.MeshMember) string {
	reached, n := meta.FindStatusCondition(m.Status.Conditions, meshv1alpha1.ConditionReachable), m.Status.Proxies
	switch {
	case reached == nil || mesh.IsRestoring(m):
		return "not asked yet"
	case reached.Status != metav1.ConditionTrue && n != nil:
		return fmt.Sprintf("does not answer, %d when last counted", *n)
	case reached.Status != metav1.ConditionTrue:
		return "does not answer"
	case n == nil:
		return "not counted"
	}
	return ""
}
