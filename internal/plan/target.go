package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

const (
	// maxRevisionName leaves room in the 63 characters of a label for what charts put before a revision's name.
	maxRevisionName = 56
	hashLength      = 10
	suffixLength    = 5
)

// Target is what the installation's spec asks for, and whether a member that serves runs something else. The revision is
// named after the content alone. The hash identifies one try of it, by which a target that failed is remembered: the
// same spec applied again has the same hash, and counting up spec.upgrade.attempt gives another one. Members without
// values of their own may come and go without changing it.
func Target(
	inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember,
) (to meshv1alpha1.RevisionTarget, changed bool, err error) {
	wanted, err := wantedRevisions(inst)
	if err != nil {
		return to, false, err
	}
	to = meshv1alpha1.RevisionTarget{Revision: RevisionName(inst.Spec.Version), Version: inst.Spec.Version}
	content, err := contentHash(inst, wanted)
	if err != nil {
		return to, false, err
	}
	if to.Hash = content; inst.Spec.Upgrade.Attempt > 0 {
		to.Hash = shortHash([]byte(content + "/" + strconv.Itoa(int(inst.Spec.Upgrade.Attempt))))
	}
	if isTaken(to.Revision, members, wanted) {
		to.Revision += "-v" + content[:suffixLength]
	}
	running := ""
	for i := range members {
		want, isMember := wanted[members[i].Spec.Cluster]
		if !isMember || !HasServed(&members[i]) {
			continue
		}
		if r := runningRevision(&members[i]); difference(r, want) != "" {
			changed = true
		} else {
			running = r.Name
		}
	}
	// A mesh that runs what the spec says keeps the name that it runs under.
	if !changed && running != "" {
		to.Revision = running
	}
	if problems := validation.IsDNS1123Label(to.Revision); len(problems) > 0 || len(to.Revision) > maxRevisionName {
		return to, false, fmt.Errorf("version %q gives no name of a revision: %q must be a DNS label of at most %d characters",
			inst.Spec.Version, to.Revision, maxRevisionName)
	}
	return to, changed, nil
}

// wantedRevisions are the version and values that the spec asks for, by member. They have no name yet.
func wantedRevisions(inst *meshv1alpha1.MeshInstallation) (map[string]meshv1alpha1.Revision, error) {
	wanted := map[string]meshv1alpha1.Revision{}
	for i := range inst.Spec.Members {
		m := &inst.Spec.Members[i]
		values, err := mergedValues(inst, m)
		if err != nil {
			return nil, fmt.Errorf("member %q: %w", m.Name, err)
		}
		wanted[m.Name] = meshv1alpha1.Revision{Version: inst.Spec.Version, Values: values}
	}
	return wanted, nil
}

// contentHash is over the version, the shared values, and the merged values of the members where these differ from the
// shared ones. Marshalling sorts the keys of maps.
func contentHash(inst *meshv1alpha1.MeshInstallation, wanted map[string]meshv1alpha1.Revision) (string, error) {
	shared, err := Values(inst.Spec.ControlPlane.Values)
	if err != nil {
		return "", fmt.Errorf("spec.controlPlane.values: %w", err)
	}
	own := map[string]map[string]any{}
	for name, r := range wanted {
		if sameJSON(r.Values, inst.Spec.ControlPlane.Values) {
			continue
		}
		if own[name], err = Values(r.Values); err != nil {
			return "", fmt.Errorf("member %q: %w", name, err)
		}
	}
	raw, err := json.Marshal(map[string]any{"version": inst.Spec.Version, "values": shared, "members": own})
	if err != nil {
		return "", err
	}
	return shortHash(raw), nil
}

func shortHash(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])[:hashLength]
}

// isTaken says whether a member has a revision of that name which is not what is wanted of it now.
func isTaken(name string, members []meshv1alpha1.MeshMember, wanted map[string]meshv1alpha1.Revision) bool {
	for i := range members {
		want, isMember := wanted[members[i].Spec.Cluster]
		for _, r := range members[i].Spec.Revisions {
			if isMember && r.Name == name && difference(r, want) != "" {
				return true
			}
		}
	}
	return false
}
