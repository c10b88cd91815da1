// Package testutil holds what the tests of several packages share: golden files and builders of the API's objects. No
// code of the operator imports it.
package testutil

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Golden compares got with testdata/<Test>/<case>.golden, which -update rewrites.
func Golden(t *testing.T, got string) {
	t.Helper()
	path := filepath.Join("testdata", filepath.FromSlash(strings.Map(portable, t.Name()))+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("read golden file (rewrite with -update): %v", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// portable drops the punctuation of a test's name: not every system, and no Go module, has it in the names of files.
func portable(r rune) rune {
	if strings.ContainsRune("',:;?*\"<>|\\", r) {
		return -1
	}
	return r
}
