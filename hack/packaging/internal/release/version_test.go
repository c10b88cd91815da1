package release

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestVersionThatIsGiven(t *testing.T) {
	dir := t.TempDir()
	for given, wantErr := range map[string]string{
		"1.2.3":            "",
		"0.1.0-rc.1":       "",
		"v1.2.3":           "VERSION=v1.2.3 is not a semantic version",
		"1.2":              "three numbers without a v",
		"latest":           "three numbers without a v",
		"1.2.3+build.5":    "leave out +build.5",
		"1.2.3; rm -rf /x": "is not a semantic version",
	} {
		t.Run(given, func(t *testing.T) {
			got, err := Version(dir, given)
			if wantErr == "" && (err != nil || got != given) {
				t.Errorf("version %q, error %v", got, err)
			}
			if wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)) {
				t.Errorf("error %v, want %q in it", err, wantErr)
			}
		})
	}
}

func TestVersionOfTheTag(t *testing.T) {
	for name, tt := range map[string]struct {
		tags    []string
		after   bool
		want    string
		wantErr string
	}{
		"the tag of the commit":       {tags: []string{"v1.2.3"}, want: "1.2.3"},
		"no tag":                      {wantErr: "make release VERSION=1.2.3"},
		"a tag of an earlier commit":  {tags: []string{"v1.2.3"}, after: true, wantErr: "make release VERSION=1.2.3"},
		"a tag that is no version":    {tags: []string{"v1.2"}, wantErr: "the tag v1.2 is not a semantic version"},
		"a tag for something else":    {tags: []string{"nightly"}, wantErr: "make release VERSION=1.2.3"},
		"a version among other tags":  {tags: []string{"nightly", "v0.2.0-rc.1"}, want: "0.2.0-rc.1"},
		"a tag that has only letters": {tags: []string{"version"}, wantErr: "no tag such as v1.2.3"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			gitRepository(t, dir)
			for _, tag := range tt.tags {
				runGit(t, dir, "tag", tag)
			}
			if tt.after {
				runGit(t, dir, "commit", "--quiet", "--allow-empty", "--message", "second")
			}
			got, err := Version(dir, "")
			if got != tt.want && tt.wantErr == "" {
				t.Errorf("version %q, error %v, want %q", got, err, tt.want)
			}
			if (err != nil) != (tt.wantErr != "") || (err != nil && !strings.Contains(err.Error(), tt.wantErr)) {
				t.Errorf("error %v, want %q in it", err, tt.wantErr)
			}
		})
	}
}

func TestVersionOutsideOfARepository(t *testing.T) {
	// Git would look for a repository in the parents.
	dir := t.TempDir()
	t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(dir))
	if _, err := ReadSource(dir); err == nil || !strings.Contains(err.Error(), "not a git repository") {
		t.Errorf("error %v, want what Git reports", err)
	}
}

func TestSource(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "kept"), "a")
	writeFile(t, filepath.Join(dir, "ignored.log"), "a")
	writeFile(t, filepath.Join(dir, ".gitignore"), "*.log\n")
	gitRepository(t, dir)
	source, err := ReadSource(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(source.Commit) != 40 || source.Time.Format("2006-01-02 15:04:05 MST") != "2026-01-02 03:04:05 UTC" {
		t.Errorf("commit %q of %s", source.Commit, source.Time)
	}
	if err := source.CheckClean(); err != nil {
		t.Errorf("a clean tree is refused: %v", err)
	}

	writeFile(t, filepath.Join(dir, "kept"), "b")
	writeFile(t, filepath.Join(dir, "new"), "c")
	if source, err = ReadSource(dir); err != nil {
		t.Fatal(err)
	}
	if want := []string{"kept", "new"}; !slices.Equal(source.Changed, want) {
		t.Errorf("changed files %q, want %q", source.Changed, want)
	}
	if err := source.CheckClean(); err == nil || !strings.Contains(err.Error(), "2 files") || !strings.Contains(err.Error(), "ALLOW_DIRTY=1") {
		t.Errorf("error %v, want the number of files and the cure", err)
	}
}
