package fetch_test

import (
	"testing"

	"github.com/meshfleet/meshfleet/internal/istio/charts/fetch"
)

// The same charts come from each of the sources, with the same digests.
func TestSources(t *testing.T) {
	base, istiod := packed(t, "base", "1.31.1", 0), packed(t, "istiod", "1.31.1", 0)
	authority := newPKI(t)
	registry := authority.start(newRegistry())
	push(t, registry, "base", "1.31.1", base)
	push(t, registry, "istiod", "1.31.1", istiod)
	repository := authority.start(repositoryOf(t, map[string][]byte{"base-1.31.1.tgz": base, "istiod-1.31.1.tgz": istiod}))

	for name, source := range map[string]fetch.Source{
		"registry":         {OCI: ociPath(registry), CA: authority.pem()},
		"chart repository": {Repository: repository.URL, CA: authority.pem()},
		"archives": {Archives: map[string][]byte{
			"a": base, "b": istiod, "copy": istiod, "other": packed(t, "cni", "1.31.1", 0), "old": packed(t, "base", "1.30.0", 0), "note": []byte("text"),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := fetch.Charts(t.Context(), source, "1.31.1", "base", "istiod")
			wantCharts(t, got, err, base, istiod)
		})
	}
}
