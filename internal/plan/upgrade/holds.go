package upgrade

import (
	"fmt"
	"maps"
	"slices"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// Holds are the holds of a spec, by member. A member that is held keeps its revision: no upgrade plans it, waits for it or starts it. One
// that has started in an upgrade before it was held goes on there.
type Holds map[string]meshv1alpha1.Hold

// HoldsOf are the holds of an installation.
func HoldsOf(inst *meshv1alpha1.MeshInstallation) Holds {
	holds := Holds{}
	for i := range inst.Spec.Members {
		if m := &inst.Spec.Members[i]; m.Hold != nil {
			holds[m.Name] = *m.Hold
		}
	}
	return holds
}

// Has says whether a member is held.
func (h Holds) Has(member string) bool {
	_, isHeld := h[member]
	return isHeld
}

// Names are the members that are held, sorted.
func (h Holds) Names() []string { return slices.Sorted(maps.Keys(h)) }

// Without are the members that are not held.
func (h Holds) Without(members []meshv1alpha1.MeshMember) []meshv1alpha1.MeshMember {
	if len(h) == 0 {
		return members
	}
	return slices.DeleteFunc(slices.Clone(members), func(m meshv1alpha1.MeshMember) bool { return h.Has(m.Spec.Cluster) })
}

// reasonBytes bounds what a list of holds quotes of each reason.
const reasonBytes = 100

// Describe is a member with its hold, for a list.
func (h Holds) Describe(member string) string {
	hold := h[member]
	return fmt.Sprintf("%s (until %s: %s)", member, hold.Until.UTC().Format(time.RFC3339), mesh.Shorten(hold.Reason, reasonBytes))
}

// List describes some of these members with their holds, sorted, and counts the others.
func (h Holds) List(members []string) string {
	var out []string
	for _, name := range slices.Sorted(slices.Values(members)) {
		out = append(out, h.Describe(name))
	}
	return mesh.Enumerate(out, len(out), mesh.NamesShown, ", ")
}

// Overdue are the members that are held although the time of their hold has passed, sorted, and when the next one passes. Zero: none does.
func (h Holds) Overdue(now time.Time) (members []string, next time.Time) {
	for name, hold := range h {
		switch until := hold.Until.Time; {
		case !now.Before(until):
			members = append(members, name)
		case next.IsZero() || until.Before(next):
			next = until
		}
	}
	slices.Sort(members)
	return members, next
}

// Skew is why the mesh must not go to a version beside a member that stays as it is because it is held. Nil: it may.
func (h Holds) Skew(m *meshv1alpha1.MeshMember, version string) error {
	if !h.Has(m.Spec.Cluster) || mesh.IsLeaving(m) || !mesh.HasServed(m) {
		return nil
	}
	running := mesh.RunningRevision(m).Version
	if istioversion.IsWithinSkew(running, version) {
		return nil
	}
	return fmt.Errorf("member %s is held at Istio %s, which is more than %d minor version from %s, the limit between control planes of one mesh; "+
		"write a release nearer to it into spec.version, or remove its hold", h.Describe(m.Spec.Cluster), running, istioversion.MaxSkew, version)
}

// allHeld is why nothing starts although the spec asks for something else than what runs: every member is held. Nil: one is not, or all run
// what the spec asks for.
func allHeld(holds Holds, inst *meshv1alpha1.MeshInstallation, to meshv1alpha1.RevisionTarget, wanted Wanted, members []meshv1alpha1.MeshMember) error {
	if len(holds) < len(inst.Spec.Members) {
		return nil
	}
	var behind []string
	for i := range members {
		m := &members[i]
		if want, isMember := wanted[m.Spec.Cluster]; isMember && mesh.HasServed(m) && differs(inst, mesh.RunningRevision(m), want) {
			behind = append(behind, m.Spec.Cluster)
		}
	}
	if len(behind) == 0 {
		return nil
	}
	return fmt.Errorf("no upgrade to %s starts, because every member is held: %s; remove spec.members[].hold of those that are to be upgraded, or take the change back",
		to.Revision, holds.List(behind))
}
