package charts

import (
	"fmt"
	"maps"
	"slices"

	"helm.sh/helm/v3/pkg/releaseutil"
)

// splitDocuments splits a rendered template at its document separators, in order.
func splitDocuments(s string) []string {
	docs := releaseutil.SplitManifests(s)
	out := make([]string, 0, len(docs))
	for i := range len(docs) {
		// SplitManifests numbers what it finds.
		out = append(out, docs[fmt.Sprintf("manifest-%d", i)])
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
