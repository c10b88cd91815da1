package mesh

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// ByCluster are members by the name of their cluster. Of two of one name, it is the first.
func ByCluster(members []meshv1alpha1.MeshMember) map[string]*meshv1alpha1.MeshMember {
	out := make(map[string]*meshv1alpha1.MeshMember, len(members))
	for i := range members {
		if m := &members[i]; out[m.Spec.Cluster] == nil {
			out[m.Spec.Cluster] = m
		}
	}
	return out
}

// IsMemberOf says whether a MeshMember belongs to an installation. One that lost its label is still owned, and one that came from a backup of
// another hub has its label.
func IsMemberOf(m *meshv1alpha1.MeshMember, inst *meshv1alpha1.MeshInstallation) bool {
	return m.Labels[meshv1alpha1.LabelInstallation] == inst.Name || metav1.IsControlledBy(m, inst)
}

// IsLeaving says that a member is no longer in the spec. Until its removal is ordered it goes on to serve.
func IsLeaving(m *meshv1alpha1.MeshMember) bool { return m.Spec.Removal != "" }

// RunningRevision is the revision that a member's namespaces get.
func RunningRevision(m *meshv1alpha1.MeshMember) meshv1alpha1.Revision {
	return RevisionNamed(m, m.Spec.DefaultRevision, m.Spec.Revisions[0])
}

// RevisionNamed is the ordered revision of a name, or another one if there is none.
func RevisionNamed(m *meshv1alpha1.MeshMember, name string, otherwise meshv1alpha1.Revision) meshv1alpha1.Revision {
	if i := slices.IndexFunc(m.Spec.Revisions, func(r meshv1alpha1.Revision) bool { return r.Name == name }); i >= 0 {
		return m.Spec.Revisions[i]
	}
	return otherwise
}

// DeletionPolicyOf is the deletion policy of a member that leaves: that of its installation, unless a person has decided for this member.
func DeletionPolicyOf(m *meshv1alpha1.MeshMember, policy meshv1alpha1.DeletionPolicy) meshv1alpha1.DeletionPolicy {
	if policy != meshv1alpha1.DeletionPolicyForce && m.Annotations[meshv1alpha1.AnnotationAction] == meshv1alpha1.MemberActionOrphan {
		return meshv1alpha1.DeletionPolicyOrphan
	}
	return policy
}

// HasServed says whether a control plane of the member has ever served. Before that, its values may be corrected in
// place: nobody uses it. One that is down now may have served before; then istiod has handed out a root, which the
// status keeps, and workloads that it has given identities wait for it as it was.
func HasServed(m *meshv1alpha1.MeshMember) bool {
	return m.Status.Recovered != nil || len(m.Status.Trust.RootFingerprints) > 0 ||
		slices.ContainsFunc(m.Status.Revisions, func(r meshv1alpha1.RevisionStatus) bool { return r.ReadyReplicas > 0 })
}

// Claimed is what a member reports that belongs to a root, fingerprints with commas between them. Empty: it belongs to none.
func Claimed(root string) *meshv1alpha1.ClaimedRoot {
	if root == "" {
		return &meshv1alpha1.ClaimedRoot{}
	}
	return &meshv1alpha1.ClaimedRoot{Fingerprints: strings.Split(root, ",")}
}

// RootOf is the root that a member belongs to, as fingerprints with commas between them. Empty: none that is known.
func RootOf(m *meshv1alpha1.MeshMember) string {
	if len(m.Spec.PinnedRoot) > 0 {
		return JoinRoot(m.Spec.PinnedRoot)
	}
	if claimed := m.Status.Trust.ClaimedRoot; claimed != nil && len(claimed.Fingerprints) > 0 {
		return JoinRoot(claimed.Fingerprints)
	}
	// An istiod that started without cacerts hands out a root of its own.
	c := meta.FindStatusCondition(m.Status.Conditions, meshv1alpha1.ConditionTrustRootReady)
	if c != nil && c.Reason == meshv1alpha1.ReasonRootNotInForce {
		return ""
	}
	return JoinRoot(m.Status.Trust.RootFingerprints)
}

// JoinRoot writes fingerprints as a claim records them.
func JoinRoot(fingerprints []string) string {
	return strings.Join(slices.Sorted(slices.Values(fingerprints)), ",")
}

// RetiringNames are the revisions that are installed although the work order does not name them.
func RetiringNames(m *meshv1alpha1.MeshMember) (names []string) {
	for _, r := range m.Status.Retiring {
		names = append(names, r.Name)
	}
	return names
}

// Tags are those of the work order and those that are kept. They follow the default revision, as all tags do.
func Tags(m *meshv1alpha1.MeshMember) []meshv1alpha1.Tag {
	tags := slices.Clone(m.Spec.Tags)
	for _, t := range m.Status.KeptTags {
		if !slices.ContainsFunc(tags, func(o meshv1alpha1.Tag) bool { return o.Name == t.Name }) {
			tags = append(tags, meshv1alpha1.Tag{Name: t.Name, Revision: m.Spec.DefaultRevision})
		}
	}
	return tags
}

// WithKeptTags is the work order together with the tags that are kept.
func WithKeptTags(m *meshv1alpha1.MeshMember) *meshv1alpha1.MeshMemberSpec {
	spec := m.Spec.DeepCopy()
	spec.Tags = Tags(m)
	return spec
}
