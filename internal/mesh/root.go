package mesh

import (
	"errors"
	"fmt"
	"strings"
)

// ErrForeignRoot says that a member belongs to another root than the mesh.
var ErrForeignRoot = errors.New("the member has another root of trust")

// ShortRoot shows the first digits of fingerprints, enough to tell them apart.
func ShortRoot(fingerprints []string) string {
	const shown = 3
	var out []string
	for _, f := range fingerprints[:min(len(fingerprints), shown)] {
		out = append(out, f[:min(len(f), 16)])
	}
	text := strings.Join(out, ",")
	if more := len(fingerprints) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
