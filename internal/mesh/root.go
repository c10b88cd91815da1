package mesh

import (
	"errors"
)

// ErrForeignRoot says that a member belongs to another root than the mesh.
var ErrForeignRoot = errors.New("the member has another root of trust")

// ShortRoot shows the first digits of fingerprints, enough to tell them apart.
func ShortRoot(fingerprints []string) string {
	const shown = 3
	out := make([]string, 0, len(fingerprints))
	for _, f := range fingerprints {
		out = append(out, f[:min(len(f), 16)])
	}
	return Enumerate(out, len(out), shown, ",")
}
