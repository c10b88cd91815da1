package upgrade

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// maxRevisionName leaves room in the 63 characters of a label for what charts put before a revision's name.
const maxRevisionName = 56

// Target is what the installation's spec asks for, and whether a member that serves, and is not held, runs something else. The revision is
// named after the content alone. The hashes identify one try of it, by which a target that failed is remembered: the
// same spec applied again has the same ones, and counting up spec.upgrade.attempt gives others. Holds change none of them.
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
	to = meshv1alpha1.RevisionTarget{Version: inst.Spec.Version}
	content, isPlain, err := hashes(inst, wanted, &to)
	if err != nil {
		return to, false, err
	}
	to.Revision = revisionName(to.Version, content, isPlain, func(name string) bool { return isTaken(name, members, wanted) })
	var running []string
	holds := HoldsOf(inst)
	for i := range members {
		want, isMember := wanted[members[i].Spec.Cluster]
		if !isMember || !mesh.HasServed(&members[i]) {
			continue
		}
		switch r := mesh.RunningRevision(&members[i]); {
		case !differs(inst, r, want):
			running = append(running, r.Name)
		case !holds.Has(members[i].Spec.Cluster):
			changed = true
		}
	}
	// Members that run what the spec says keep the name that they run under. The content of a target has settings of members that
	// joined later in it, and its name has not.
	if name := preferred(running, inst.Status.Revision); name != "" && !changed {
		to.Revision = name
	}
	if problems := validation.IsDNS1123Label(to.Revision); len(problems) > 0 || len(to.Revision) > maxRevisionName {
		return to, false, fmt.Errorf("version %q gives no name of a revision: %q must be a DNS label of at most %d characters",
			inst.Spec.Version, to.Revision, maxRevisionName)
	}
	return to, changed, nil
}

// differs says whether a member that serves runs something else than what is wanted of it.
func differs(inst *meshv1alpha1.MeshInstallation, running, want meshv1alpha1.Revision) bool {
	if _, isPackaged := istioversion.Packaged().Lookup(want.Version); !isPackaged {
		// A release whose charts are not in the image is kept as it was rendered.
		want.Rendering = running.Rendering
	}
	if inst.Spec.Charts == nil && running.Version == want.Version && running.Charts != want.Charts {
		// A spec without charts asks for none. An operator whose image gains or loses a release changes no mesh by that.
		want.Charts, want.Rendering = running.Charts, running.Rendering
	}
	return mesh.Difference(running, want) != ""
}

// revisionName is the name of a content: the version and the first digits of the content's hash. A version alone needs none. It
// depends on the content only, so that no name ever stands for another one, also when nothing is known of what ran before.
func revisionName(version, content string, isPlain bool, isTaken func(name string) bool) string {
	name := mesh.RevisionName(version)
	if !isPlain {
		name += "-v" + content[:mesh.SuffixLength]
	}
	// An older operator gave names that do not tell the content, and two hashes may begin alike.
	for n := mesh.SuffixLength; isTaken(name) && n <= mesh.HashLength; n++ {
		name = mesh.RevisionName(version) + "-v" + content[:n]
	}
	return name
}

// RevisionName is the name of what one member runs by itself.
func RevisionName(r meshv1alpha1.Revision) string {
	content, err := mesh.Content(r)
	return revisionName(r.Version, mesh.RevisionHash(r), err != nil || mesh.IsPlain(content), func(string) bool { return false })
}

// FirstRevision is the name of what a mesh runs that has not served yet. Error: values are no map.
func FirstRevision(inst *meshv1alpha1.MeshInstallation) (string, error) {
	to, _, err := Target(inst, nil)
	return to.Revision, err
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

// wantedBy merges the settings of every member once.
func wantedBy(inst *meshv1alpha1.MeshInstallation) (Wanted, error) {
	wanted, shared := Wanted{}, sharedBy(inst)
	for i := range inst.Spec.Members {
		m := &inst.Spec.Members[i]
		want, err := mesh.MemberRevision(shared, m)
		if err != nil {
			return nil, fmt.Errorf("member %q: %w", m.Name, err)
		}
		wanted[m.Name] = want
	}
	return wanted, nil
}

// sharedBy is what a spec asks of all members, as this operator renders it.
func sharedBy(inst *meshv1alpha1.MeshInstallation) meshv1alpha1.Revision {
	shared := mesh.SharedRevision(&inst.Spec, inst.Spec.Version)
	shared.Charts, _ = ChartsOf(inst)
	shared.Rendering = RenderingOf(shared)
	return shared
}

// ChartsOf are the charts of the version in a spec. None: those in the operator's image. Not ready: they are in neither place, and have
// not been fetched.
func ChartsOf(inst *meshv1alpha1.MeshInstallation) (digests meshv1alpha1.ChartDigests, isReady bool) {
	_, isPackaged := istioversion.Packaged().Lookup(inst.Spec.Version)
	if inst.Spec.Charts == nil && isPackaged {
		return digests, true
	}
	pin := mesh.Pinned(&inst.Status, inst.Spec.Version, mesh.ChartSource(inst.Spec.Charts))
	if pin == nil {
		return digests, false
	}
	return pin.Charts, true
}

// RenderingOf identifies how this operator renders a revision. That of charts which were fetched is not known before.
func RenderingOf(r meshv1alpha1.Revision) string {
	if !r.Charts.IsZero() {
		return ""
	}
	return istioversion.Packaged().Rendering(r.Version)
}

// at is what would be wanted if the spec asked for another version. Its charts are those in the image: the mesh only passes through.
func (w Wanted) at(version string) Wanted {
	out := make(Wanted, len(w))
	for member, revision := range w {
		if revision.Version != version {
			revision.Version, revision.Charts = version, meshv1alpha1.ChartDigests{}
			revision.Rendering = RenderingOf(revision)
		}
		out[member] = revision
	}
	return out
}

// hashes fills in what identifies a target, and returns the hash of its content: what all members share, and the merged settings
// of the members where these differ from the shared ones. Marshalling sorts the keys of maps. A plain content is a version alone.
func hashes(
	inst *meshv1alpha1.MeshInstallation, wanted Wanted, to *meshv1alpha1.RevisionTarget,
) (content string, isPlain bool, err error) {
	shared := sharedBy(inst)
	all, err := mesh.Content(shared)
	if err != nil {
		return "", false, err
	}
	raw, err := json.Marshal(all)
	if err != nil {
		return "", false, err
	}
	to.SharedHash = mesh.ShortHash(raw)
	own := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if mesh.Difference(shared, wanted[name]) == "" {
			continue
		}
		if own[name], err = mesh.Content(wanted[name]); err != nil {
			return "", false, fmt.Errorf("member %q: %w", name, err)
		}
		to.OwnValues = append(to.OwnValues, meshv1alpha1.OwnValues{Member: name, Hash: mesh.RevisionHash(wanted[name])})
	}
	isPlain = len(own) == 0 && mesh.IsPlain(all)
	if len(own) > 0 {
		all["members"] = own
	}
	if raw, err = json.Marshal(all); err != nil {
		return "", false, err
	}
	content = mesh.ShortHash(raw)
	to.Charts = shared.Charts
	to.Attempt = inst.Spec.Upgrade.Attempt
	to.Hash, to.SharedHash = mesh.AttemptHash(content, to.Attempt), mesh.AttemptHash(to.SharedHash, to.Attempt)
	return content, isPlain, nil
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
