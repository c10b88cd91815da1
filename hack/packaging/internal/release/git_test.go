package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// gitRepository makes a directory a Git repository with one commit of all its files.
func gitRepository(t *testing.T, dir string) {
	t.Helper()
	// The user's settings must not matter, for example signed commits.
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_CONFIG_SYSTEM", os.DevNull)
	for _, name := range []string{"GIT_AUTHOR_", "GIT_COMMITTER_"} {
		t.Setenv(name+"NAME", "test")
		t.Setenv(name+"EMAIL", "test@example.com")
		t.Setenv(name+"DATE", "2026-01-02T03:04:05Z")
	}
	runGit(t, dir, "init", "--quiet")
	runGit(t, dir, "add", "--all")
	runGit(t, dir, "commit", "--quiet", "--allow-empty", "--message", "first")
}

func runGit(t *testing.T, dir string, args ...string) {
	t.Helper()
	if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
