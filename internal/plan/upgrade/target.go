package upgrade

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// maxRevisionName leaves room in the 63 characters of a label for what charts put before a revision's name.
const maxRevisionName = 56

// Target is what the installation's spec asks for, and whether a member that serves runs something else. The revision is
// named after the content alone. The hashes identify one try of it, by which a target that failed is remembered: the
// same spec applied again has the same ones, and counting up spec.upgrade.attempt gives others.
func Target(
	inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember,
) (to meshv1alpha1.RevisionTarget, changed bool, err error) {
	wanted, err := wantedBy(inst)
	if err != nil {
		return to, false, err
	}
	return target(inst, wanted, members)
}

// target is Target with what the spec wants of each member.
func target(
	inst *meshv1alpha1.MeshInstallation, wanted Wanted, members []meshv1alpha1.MeshMember,
) (to meshv1alpha1.RevisionTarget, changed bool, err error) {
	to = meshv1alpha1.RevisionTarget{Revision: mesh.RevisionName(inst.Spec.Version), Version: inst.Spec.Version}
	content, err := hashes(inst, wanted, &to)
	if err != nil {
		return to, false, err
	}
	for base, n := to.Revision, mesh.SuffixLength; isTaken(to.Revision, members, wanted) && n <= mesh.HashLength; n++ {
		to.Revision = base + "-v" + content[:n]
	}
	var running []string
	for i := range members {
		want, isMember := wanted[members[i].Spec.Cluster]
		if !isMember || !mesh.HasServed(&members[i]) {
			continue
		}
		if r := mesh.RunningRevision(&members[i]); mesh.Difference(r, want) != "" {
			changed = true
		} else {
			running = append(running, r.Name)
		}
	}
	// Members that run what the spec says keep the name that they run under, unless others use it for something else.
	if name := preferred(running, inst.Status.Revision); name != "" && (!changed || !isTaken(name, members, wanted)) {
		to.Revision = name
	}
	if problems := validation.IsDNS1123Label(to.Revision); len(problems) > 0 || len(to.Revision) > maxRevisionName {
		return to, false, fmt.Errorf("version %q gives no name of a revision: %q must be a DNS label of at most %d characters",
			inst.Spec.Version, to.Revision, maxRevisionName)
	}
	return to, changed, nil
}

// preferred is the name if it is among the names, else the first of them. Empty: there are none.
func preferred(names []string, name string) string {
	switch {
	case len(names) == 0:
		return ""
	case slices.Contains(names, name):
		return name
	}
	return slices.Min(names)
}

// Wanted are the version and values that a spec asks for, by member. They have no name yet.
type Wanted map[string]meshv1alpha1.Revision

// wantedBy merges the values of every member once.
func wantedBy(inst *meshv1alpha1.MeshInstallation) (Wanted, error) {
	wanted := Wanted{}
	for i := range inst.Spec.Members {
		m := &inst.Spec.Members[i]
		values, err := mesh.MergedValues(inst.Spec.ControlPlane.Values, m)
		if err != nil {
			return nil, fmt.Errorf("member %q: %w", m.Name, err)
		}
		wanted[m.Name] = meshv1alpha1.Revision{Version: inst.Spec.Version, Values: values}
	}
	return wanted, nil
}

// at is what would be wanted if the spec asked for another version.
func (w Wanted) at(version string) Wanted {
	out := make(Wanted, len(w))
	for member, revision := range w {
		revision.Version = version
		out[member] = revision
	}
	return out
}

// hashes fills in what identifies a target, and returns the hash of its content: the version, the shared values, and the
// merged values of the members where these differ from the shared ones. Marshalling sorts the keys of maps.
func hashes(
	inst *meshv1alpha1.MeshInstallation, wanted Wanted, to *meshv1alpha1.RevisionTarget,
) (content string, err error) {
	values, err := mesh.Values(inst.Spec.ControlPlane.Values)
	if err != nil {
		return "", fmt.Errorf("spec.controlPlane.values: %w", err)
	}
	own := map[string]map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if mesh.SameJSON(wanted[name].Values, inst.Spec.ControlPlane.Values) {
			continue
		}
		if own[name], err = mesh.Values(wanted[name].Values); err != nil {
			return "", fmt.Errorf("member %q: %w", name, err)
		}
		raw, err := json.Marshal(own[name])
		if err != nil {
			return "", err
		}
		to.OwnValues = append(to.OwnValues, meshv1alpha1.OwnValues{Member: name, Hash: mesh.ShortHash(raw)})
	}
	shared, err := json.Marshal(map[string]any{"version": inst.Spec.Version, "values": values})
	if err != nil {
		return "", err
	}
	all, err := json.Marshal(map[string]any{"version": inst.Spec.Version, "values": values, "members": own})
	if err != nil {
		return "", err
	}
	content = mesh.ShortHash(all)
	to.Hash, to.SharedHash = content, mesh.ShortHash(shared)
	to.Attempt = inst.Spec.Upgrade.Attempt
	if attempt := to.Attempt; attempt > 0 {
		try := "/" + strconv.Itoa(int(attempt))
		to.Hash, to.SharedHash = mesh.ShortHash([]byte(content+try)), mesh.ShortHash([]byte(to.SharedHash+try))
	}
	return content, nil
}

// isTaken says whether a member has a revision of that name which is not what is wanted of it now. One that its work order
// no longer names may still be there, and is not changed either: until it is known what it is, the name is taken.
func isTaken(name string, members []meshv1alpha1.MeshMember, wanted Wanted) bool {
	for i := range members {
		m := &members[i]
		want, isMember := wanted[m.Spec.Cluster]
		if !isMember {
			continue
		}
		if j := slices.IndexFunc(m.Spec.Revisions, func(r meshv1alpha1.Revision) bool { return r.Name == name }); j >= 0 {
			if mesh.Difference(m.Spec.Revisions[j], want) != "" {
				return true
			}
			continue
		}
		if hash, isThere := leftover(m, name); isThere && hash != mesh.RevisionHash(want) {
			return true
		}
	}
	return false
}

// leftover is the hash of a revision that a member has reported and that its work order does not name.
func leftover(m *meshv1alpha1.MeshMember, name string) (hash string, isThere bool) {
	for _, r := range m.Status.Retiring {
		if r.Name == name {
			return r.Hash, true
		}
	}
	for _, r := range m.Status.Revisions {
		if r.Name == name {
			return r.Hash, true
		}
	}
	return "", false
}
