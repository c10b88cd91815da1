package charts

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
)

// TestCompatibilityIsWhatTheChartsHave wants the table's compatibility versions to be those for which the istiod chart has
// a profile.
func TestCompatibilityIsWhatTheChartsHave(t *testing.T) {
	for _, r := range istioversion.Packaged() {
		files, err := os.ReadDir(filepath.Join(chartsDir, r.Version, "istiod", "files"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range files {
			if name, ok := strings.CutPrefix(f.Name(), "profile-compatibility-version-"); ok {
				got = append(got, strings.TrimSuffix(name, ".yaml"))
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(r.Compatibility, got); diff != "" {
			t.Errorf("%s (-table +chart):\n%s", r.Version, diff)
		}
	}
}
