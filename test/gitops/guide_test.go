package gitops

import (
	"os"
	"strings"
	"testing"

	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestTheGuideQuotesTheSample wants the health check expressions of docs/gitops.md to be those of the sample, which test/flux evaluates.
func TestTheGuideQuotesTheSample(t *testing.T) {
	sample, err := os.ReadFile(testutil.InRepository("config", "samples", "gitops", "flux", "mesh.yaml"))
	testutil.Must(t, err)
	_, expressions, isThere := strings.Cut(string(sample), "\n  healthCheckExprs:\n")
	if !isThere {
		t.Fatal("the sample has no healthCheckExprs at its end")
	}
	want := "\n```yaml\nhealthCheckExprs:\n" + strings.ReplaceAll("\n"+expressions, "\n  ", "\n")[1:] + "```\n"
	guide, err := os.ReadFile(testutil.InRepository("docs", "gitops.md"))
	testutil.Must(t, err)
	if !strings.Contains(string(guide), want) {
		t.Errorf("docs/gitops.md does not contain:\n%s", want)
	}
}
