package charts

import (
	"fmt"
	"maps"
	"slices"
	"strings"

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

// nearest finds the known key that differs from k in at most two edits.
func nearest(k string, known []string) string {
	best, distance := "", 3
	for _, c := range known {
		if d := editDistance(strings.ToLower(k), strings.ToLower(c)); d < distance && !strings.HasPrefix(c, "_") {
			best, distance = c, d
		}
	}
	return best
}

// editDistance is the Levenshtein distance.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
