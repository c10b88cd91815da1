// Package chartstest packages charts for tests, and serves them as users do: from a registry.
package chartstest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"

	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/istio/charts/fetch"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// Packaged packages the charts of a release of the operator's image as those of another patch: with its version in the chart and in the
// tags of images, and nothing else changed. Each call gives other digests: a package has the time in it.
func Packaged(t *testing.T, from, as string) []fetch.Archive {
	t.Helper()
	dir := t.TempDir()
	var out []fetch.Archive
	for _, name := range []string{charts.Base, charts.Istiod, charts.Gateway} {
		c, err := loader.Load(filepath.Join(testutil.InRepository("bin", "charts"), from, name))
		testutil.Must(t, err)
		c.Metadata.Version, c.Metadata.AppVersion = as, as
		for _, f := range c.Raw {
			if f.Name == chartutil.ValuesfileName {
				f.Data = bytes.ReplaceAll(f.Data, []byte(from), []byte(as))
			}
		}
		path, err := chartutil.Save(c, dir)
		testutil.Must(t, err)
		data, err := os.ReadFile(path)
		testutil.Must(t, err)
		out = append(out, fetch.Archive{Name: name, Version: as, Digest: charts.DigestOf(data), Data: data})
	}
	return out
}
