package mesh

import (
	"fmt"
	"slices"
	"strings"
)

// Says lists members after a comma, if there are any.
func Says(what string, members []string) string {
	if len(members) == 0 {
		return ""
	}
	return ", " + what + ": " + Capped(members)
}

// Capped names three members at most.
func Capped(members []string) string {
	const limit = 3
	members = slices.Sorted(slices.Values(members))
	if len(members) <= limit {
		return strings.Join(members, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(members[:limit], ", "), len(members)-limit)
}
