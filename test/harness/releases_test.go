package harness

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
)

// TestReleases wants one pair of releases in all that a user runs first: the newest two that the operator can install.
func TestReleases(t *testing.T) {
	if got := istioversion.Supported(); !slices.Equal(got[len(got)-2:], []string{FormerIstio, NewestIstio}) {
		t.Errorf("the operator installs %v, want %s and %s to be the newest", got, FormerIstio, NewestIstio)
	}
	root, err := repositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	samples, err := filepath.Glob(filepath.Join(root, "config", "samples", "meshinstallation*.yaml"))
	if err != nil || len(samples) == 0 {
		t.Fatalf("%d samples, %v", len(samples), err)
	}
	want := map[string]string{
		"Makefile":                             "\nISTIO ?= " + NewestIstio + "\n",
		"hack/lab/internal/cluster/cli/cli.go": "\nconst defaultIstio = \"" + NewestIstio + "\"\n",
		"docs/quickstart.md":                   "\n  version: " + NewestIstio + "\n",
		"config/samples/gitops/mesh/meshinstallation.yaml": "\n  version: " + NewestIstio + "\n",
	}
	for _, sample := range samples {
		name, err := filepath.Rel(root, sample)
		if err != nil {
			t.Fatal(err)
		}
		want[name] = "\n  version: " + NewestIstio + "\n"
	}
	// Its release is one whose charts are not in the image.
	delete(want, "config/samples/meshinstallation_charts.yaml")
	for name, line := range want {
		content, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(content), line) {
			t.Errorf("%s does not have the line %q", name, strings.TrimSpace(line))
		}
	}
}
