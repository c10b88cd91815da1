package guide

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCommands(t *testing.T) {
	page := strings.ReplaceAll(`# Page

~~~sh
not below the heading
~~~

## How

~~~yaml
# no heading
~~~

1. First.

   ~~~sh
   a |
     b
   ~~~

~~~sh
c
~~~

### Later

~~~sh
not this
~~~
`, "~~~", "```")
	got, err := Commands([]byte(page), "How")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a |\n  b", "c"}, got); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	for name, c := range map[string]struct{ page, heading string }{
		"a heading that is not there": {page, "Nowhere"},
		"a block without an end":      {page + "```sh\n", "How"},
	} {
		if got, err := Commands([]byte(c.page), c.heading); err == nil {
			t.Errorf("%s: %q, want an error", name, got)
		}
	}
}

// TestGuidesHaveTheirCommands keeps the headings that the tests of a real mesh look for.
func TestGuidesHaveTheirCommands(t *testing.T) {
	for _, c := range []struct {
		page, heading string
		blocks        int
	}{
		{"docs/backup.md", "What to back up", 2},
		{"docs/backup.md", "The root's Secret is lost", 3},
		{"docs/backup.md", "The objects of the hub are lost, the cluster is not", 1},
		{"docs/backup.md", "The hub is another cluster", 1},
		{"docs/concepts.md", "Uninstall the operator", 5},
		{"docs/install.md", "Helm", 3},
		{"docs/install.md", "Update", 1},
		{"docs/install.md", "Uninstall", 2},
		{"docs/install.md", "kubectl and kustomize", 1},
		{"docs/upgrade-operations.md", "Upgrading the operator", 1},
		{"docs/install-operatorhub.md", "Install", 4},
		{"docs/install-operatorhub.md", "Updates", 3},
		{"docs/install-operatorhub.md", "Uninstall", 2},
	} {
		page, err := os.ReadFile(filepath.Join("..", "..", c.page))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Commands(page, c.heading); err != nil || len(got) != c.blocks {
			t.Errorf("%s, %s: %d blocks, %v, want %d: the tests that run them expect these", c.page, c.heading, len(got), err, c.blocks)
		}
	}
}

func TestReaderRunsInItsOwnDirectory(t *testing.T) {
	repository, dir := t.TempDir(), t.TempDir()
	program, hub, east := filepath.Join(repository, "real"), filepath.Join(repository, "h"), filepath.Join(repository, "e")
	for file, content := range map[string]string{program: "#!/bin/sh\ncat \"$2\"; shift 2; echo \" $*\"\n", hub: "hub", east: "east"} {
		if err := os.WriteFile(file, []byte(content), 0o700); err != nil { //nolint:gosec // one of them is run
			t.Fatal(err)
		}
	}
	r, err := New(dir, program, repository, map[string]string{"hub": hub, "east": east}, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Run(t.Context(), "kubectl get mesh > file\nkubectl --context east -n x get y | cat - file\necho z | xargs kubectl get")
	if err != nil || got != "east -n x get y\nhub get mesh\nhub get z\n" {
		t.Errorf("printed %q, %v", got, err)
	}
	if _, err := r.Run(t.Context(), "false | true\necho on"); err == nil {
		t.Error("a command that fails does not end the block")
	}
}
