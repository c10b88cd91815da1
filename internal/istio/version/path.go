package version

import (
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// Table is a set of releases.
type Table []Release

// Packaged are the releases that the operator can install: their charts are in its image. Oldest first.
func Packaged() Table { return packagedTable }

// Lookup finds a release that can be installed by its exact version. For what is known of any release, see Of.
func (t Table) Lookup(version string) (Release, bool) {
	i := slices.IndexFunc(t, func(r Release) bool { return r.Version == version })
	if i < 0 {
		return Release{}, false
	}
	return t[i], true
}

// Within is the table for upgrades that advance so many minor versions at most. Zero: as many as each release allows.
func (t Table) Within(step uint64) Table {
	if step == 0 {
		return t
	}
	out := slices.Clone(t)
	for i := range out {
		out[i].MaxJump = min(out[i].MaxJump, step)
	}
	return out
}

// Path are the releases to go through from one version to another, the last of which is the other. It is the shortest
// one that leaves out no more minor versions than upstream allows, by the newest releases. From a version to itself it is
// that version alone. Going back is one step. Error: there is no such way; it says which releases are missing.
func (t Table) Path(from, to string) ([]string, error) {
	start, err := semver.NewVersion(from)
	if err != nil {
		return nil, fmt.Errorf("read version %q: %w", from, err)
	}
	end, err := semver.NewVersion(to)
	if err != nil {
		return nil, fmt.Errorf("read version %q: %w", to, err)
	}
	target, ok := t.Lookup(to)
	if !ok {
		return nil, fmt.Errorf("istio %s cannot be installed: its charts are not in the operator's image; set spec.charts", to)
	}
	if end.LessThan(start) {
		now, isPackaged := t.Lookup(from)
		if !isPackaged {
			now, _ = Of(from)
		}
		if isWithin(end, start, now.MaxJump) {
			return []string{to}, nil
		}
		return nil, fmt.Errorf("istio %s is too old to go back to from %s", to, from)
	}
	if isWithin(start, end, target.MaxJump) {
		return []string{to}, nil
	}
	path, reached := t.search(from, to)
	if path == nil {
		return nil, fmt.Errorf("istio %s cannot go to %s: that is more than one step (spec.upgrade.maxMinorStep, or what upstream supports), and the operator has no release of %s for a step in between",
			from, to, strings.Join(missing(reached, max(target.MaxJump, 1), end), " or "))
	}
	return path, nil
}

// isWithin says whether a control plane of the first version may be followed by a revision of the second one.
func isWithin(from, to *semver.Version, maxJump uint64) bool {
	return from.Major() == to.Major() && !to.LessThan(from) && to.Minor()-from.Minor() <= max(maxJump, 1)
}

// MaxSkew is how many minor versions lie at most between two control planes of one mesh that both stay as they are.
const MaxSkew = 1

// IsWithinSkew says whether control planes of two releases can stay in one mesh. Texts that are no versions cannot be compared, and cannot.
func IsWithinSkew(a, b string) bool {
	va, errA := semver.NewVersion(a)
	vb, errB := semver.NewVersion(b)
	if errA != nil || errB != nil {
		return false
	}
	older, newer := va, vb
	if vb.LessThan(va) {
		older, newer = vb, va
	}
	return isWithin(older, newer, MaxSkew)
}

// search looks for the shortest path breadth first, newer releases before older ones. If there is none, it tells how far
// one gets.
func (t Table) search(from, to string) (path []string, reached *semver.Version) {
	newestFirst := slices.Clone(t)
	slices.SortFunc(newestFirst, func(a, b Release) int { return Compare(b.Version, a.Version) })
	paths := map[string][]string{from: {}}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		at, err := semver.NewVersion(queue[0])
		if err != nil {
			continue
		}
		if reached == nil || reached.LessThan(at) {
			reached = at
		}
		for _, r := range newestFirst {
			v, err := semver.NewVersion(r.Version)
			if _, seen := paths[r.Version]; err != nil || seen || Compare(r.Version, to) > 0 || !isWithin(at, v, r.MaxJump) {
				continue
			}
			paths[r.Version] = append(slices.Clone(paths[queue[0]]), r.Version)
			if r.Version == to {
				return paths[to], reached
			}
			queue = append(queue, r.Version)
		}
	}
	return nil, reached
}

// missing are the minor versions by which one would get further.
func missing(reached *semver.Version, jump uint64, end *semver.Version) []string {
	var out []string
	for minor := reached.Minor() + 1; minor <= reached.Minor()+jump && minor < end.Minor(); minor++ {
		out = append(out, fmt.Sprintf("%d.%d", reached.Major(), minor))
	}
	if len(out) == 0 {
		out = append(out, fmt.Sprintf("%d.x", end.Major()))
	}
	return out
}
