package plan

import (
	"maps"
	"strings"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

const (
	// askDeadline bounds the wait for members to say whether they belong to a root already.
	askDeadline = time.Minute
)

// RootPin says which root a mesh has.
type RootPin struct {
	// Root are its fingerprints. Empty: none is known.
	Root []string
	// Witnesses are the members by the root that they belong to, when they differ.
	Witnesses map[string][]string
	// Unasked are the members that have not reported yet whether they belong to a root. Without a root, and without any of
	// them, the mesh is new.
	Unasked []string
}

// PinnedRoot finds the root of a mesh: as pinned in its status or, after a restore without status, as its members know it.
// Only a mesh of which no member knows a root may pin what is on the hub.
func PinnedRoot(inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember, now time.Time) RootPin {
	if root := inst.Status.Trust.PinnedRoot; len(root) > 0 {
		return RootPin{Root: root}
	}
	witnesses := map[string][]string{}
	for i := range members {
		m := &members[i]
		if root := mesh.RootOf(m); root != "" && !mesh.IsLeaving(m) {
			witnesses[root] = append(witnesses[root], m.Spec.Cluster)
		}
	}
	switch len(witnesses) {
	case 0:
		return RootPin{Unasked: unasked(inst, members, now)}
	case 1:
		for root := range maps.Keys(witnesses) {
			return RootPin{Root: strings.Split(root, ",")}
		}
	}
	return RootPin{Witnesses: witnesses}
}

// unasked are the members that may still report a root. One that does not answer is waited for only for a while, so that it
// does not keep a new mesh from its start, unless no other has answered either.
func unasked(inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember, now time.Time) []string {
	var waiting, late []string
	byCluster := mesh.ByCluster(members)
	for i := range inst.Spec.Members {
		name := inst.Spec.Members[i].Name
		m := byCluster[name]
		switch {
		case m == nil:
			waiting = append(waiting, name)
		case m.Status.Trust.ClaimedRoot != nil:
		case now.Sub(m.CreationTimestamp.Time) < askDeadline:
			waiting = append(waiting, name)
		default:
			late = append(late, name)
		}
	}
	if len(waiting) > 0 || len(late) == len(inst.Spec.Members) {
		return append(waiting, late...)
	}
	return nil
}
