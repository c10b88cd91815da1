package mesh

import (
	"slices"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// BringsTarget is true for the stages that bring the target of an upgrade into a member.
func BringsTarget(stage meshv1alpha1.Stage) bool {
	switch stage {
	case meshv1alpha1.StageInstall, meshv1alpha1.StageGateways, meshv1alpha1.StageWorkloads, meshv1alpha1.StageSoak:
		return true
	case meshv1alpha1.StagePreflight, meshv1alpha1.StageRetire, meshv1alpha1.StageRollback, meshv1alpha1.StageDiscard:
	}
	return false
}

// IsRollingBack is true for a member that leaves the target of an upgrade. Nothing of the target is needed then.
func IsRollingBack(m *meshv1alpha1.MeshMember) bool {
	o := m.Spec.Rollout
	return o != nil && (o.Stage == meshv1alpha1.StageRollback || o.Stage == meshv1alpha1.StageDiscard)
}

// WithoutTarget is the work order as far as the former revision needs it, for a member that is rolled back. Else it is the work order.
func WithoutTarget(m *meshv1alpha1.MeshMember) *meshv1alpha1.MeshMemberSpec {
	spec := m.Spec.DeepCopy()
	if IsRollingBack(m) {
		spec.Revisions = slices.DeleteFunc(spec.Revisions, func(r meshv1alpha1.Revision) bool { return r.Name == m.Spec.Rollout.To.Name })
	}
	return spec
}

// UsedRevisions are the ordered revisions that a tag, the gateway or namespaces use, in their order.
func UsedRevisions(spec *meshv1alpha1.MeshMemberSpec) (names []string) {
	used := RevisionsInUse(spec)
	for _, rev := range spec.Revisions {
		if used[rev.Name] {
			names = append(names, rev.Name)
		}
	}
	return names
}

// RevisionsAsked are the revisions whose istiod is asked what it knows of peers: those in use, and the former one while workloads
// leave it. Its proxies use the gateways of peers as others do.
func RevisionsAsked(spec *meshv1alpha1.MeshMemberSpec) map[string]bool {
	revisions := RevisionsInUse(spec)
	if o := spec.Rollout; o != nil && (o.Stage == meshv1alpha1.StageWorkloads || o.Stage == meshv1alpha1.StageSoak) {
		revisions[o.From.Name] = true
	}
	return revisions
}
