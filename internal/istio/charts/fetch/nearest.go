package fetch

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
)

const (
	// maxNearest is how many versions a message names.
	maxNearest = 5
	// maxVersion is the length of the longest version that a message names, in bytes.
	maxVersion = 64
)

// notFound names the nearest of the versions that there are.
func notFound(cause error, place, name, version string, there []string) error {
	slices.Sort(there)
	there = slices.Compact(there)
	if len(there) == 0 {
		return &Error{NotFound, fmt.Sprintf("%s has no chart %q: put version %s there", place, name, version), cause}
	}
	near := nearest(version, there)
	if len(near) == 0 {
		return &Error{NotFound, fmt.Sprintf("%s has chart %q without a semantic version (of %d tags): put version %s there",
			place, name, len(there), version), cause}
	}
	return &Error{NotFound, fmt.Sprintf("%s has no chart %q in version %s; nearest of %d: %s: put it there, or choose one of these",
		place, name, version, len(there), strings.Join(near, ", ")), cause}
}

// nearest returns at most maxNearest of the versions, the nearest first: of the same minor before others, then by the distance of
// patches, the newer before the older. What is not a semantic version is left out.
func nearest(version string, there []string) []string {
	want, err := semver.NewVersion(version)
	if err != nil {
		return nil
	}
	var versions []*semver.Version
	for _, v := range there {
		if parsed, err := semver.StrictNewVersion(v); err == nil && len(v) <= maxVersion {
			versions = append(versions, parsed)
		}
	}
	slices.SortFunc(versions, func(a, b *semver.Version) int {
		return cmp.Or(
			cmp.Compare(distance(want.Major(), a.Major()), distance(want.Major(), b.Major())),
			cmp.Compare(distance(want.Minor(), a.Minor()), distance(want.Minor(), b.Minor())),
			cmp.Compare(distance(want.Patch(), a.Patch()), distance(want.Patch(), b.Patch())),
			b.Compare(a),
			cmp.Compare(a.Original(), b.Original()),
		)
	})
	names := make([]string, 0, maxNearest)
	for _, v := range versions[:min(len(versions), maxNearest)] {
		names = append(names, v.Original())
	}
	return names
}

func distance(a, b uint64) uint64 { return max(a, b) - min(a, b) }
