package rollout

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/meshfleet/meshfleet/internal/mesh"
)

const (
	// returningShown is how many members a message describes that go back.
	returningShown = 3
	// returningBytes bounds what is quoted of each.
	returningBytes = 200
)

// returning says what members that go back wait for: three of them, in their own words.
func returning(members []*progress) string {
	members = slices.SortedFunc(slices.Values(members), func(a, b *progress) int { return cmp.Compare(a.name, b.name) })
	var out []string
	for _, p := range members {
		text := fmt.Sprintf("member %q", p.name)
		switch {
		case !p.isReachable:
			text += " cannot be reached"
		case p.report != nil && p.report.Message != "":
			text += ": " + mesh.Shorten(p.report.Message, returningBytes)
		}
		out = append(out, text)
	}
	return mesh.Sentences(out, returningShown)
}
