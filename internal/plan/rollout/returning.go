package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

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
			text += ": " + quote(p.report.Message, returningBytes)
		}
		out = append(out, text)
	}
	return mesh.Sentences(out, returningShown)
}

// quote shortens a member's words that have more than so many bytes.
func quote(words string, longest int) string {
	if len(words) <= longest {
		return words
	}
	return strings.ToValidUTF8(words[:longest], "") + " …"
}
