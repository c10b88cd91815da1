//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/meshfleet/meshfleet/test/harness"
)

// lab is the newest Env of a test. Tests that come later use at least the clusters of those before.
var lab *harness.Env

// TestMain removes the lab when all tests are done, unless somebody wants to look at it.
func TestMain(m *testing.M) {
	code := m.Run()
	if lab != nil && os.Getenv("KEEP_LAB") == "1" {
		lab.Logf("the clusters stay up (KEEP_LAB=1); remove them with: make lab-down")
	} else if lab != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		if err := lab.DownLab(ctx); err != nil {
			fmt.Fprintf(os.Stderr, "remove the lab: %v\n", err)
			code = max(code, 1)
		}
		cancel()
	}
	os.Exit(code)
}

// newSuite makes a suite for the lab, or for the clusters that E2E_ATTACH names, such as hub=<kubeconfig>,east=<kubeconfig>.
func newSuite(t *testing.T, opts harness.Options) *suite {
	t.Helper()
	if named := os.Getenv("E2E_ATTACH"); named != "" {
		opts.Attach = map[string]string{}
		for _, pair := range strings.Split(named, ",") {
			name, kubeconfig, ok := strings.Cut(pair, "=")
			if !ok {
				t.Fatalf("E2E_ATTACH: want name=kubeconfig, got %q", pair)
			}
			opts.Attach[name] = kubeconfig
		}
	}
	env, err := harness.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	lab = env
	return &suite{env: env}
}
