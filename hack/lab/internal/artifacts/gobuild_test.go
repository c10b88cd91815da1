package artifacts

import (
	"os"
	"path/filepath"
	"testing"
)

func TestGoProgramsKey(t *testing.T) {
	original := map[string]string{
		"main.go": "package main", "go.mod": "module x", "go.sum": "sums",
	}
	program := goProgram{name: "x", pkg: ".", tags: "a", ldflags: "-X v=1"}
	key := func(t *testing.T, files map[string]string, g goPrograms, goVersion string) string {
		t.Helper()
		root := t.TempDir()
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		g.sources = []string{"."}
		s := (&Builder{Root: root}).newSession(map[Name]recipe{"x": g.recipe()})
		s.goVersion = goVersion
		k, err := s.key(t.Context(), "x")
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	before := key(t, original, goPrograms{programs: []goProgram{program}}, "go1.26.0 amd64")

	tests := map[string]struct {
		files     map[string]string
		change    func(*goPrograms)
		goVersion string
		wantSame  bool
	}{
		"stays without a change":                 {wantSame: true},
		"stays with a changed test":              {files: map[string]string{"main_test.go": "package main"}, wantSame: true},
		"stays with a changed text":              {files: map[string]string{"README.md": "words"}, wantSame: true},
		"changes with the source":                {files: map[string]string{"main.go": "package main // new"}},
		"changes with a new file":                {files: map[string]string{"more.go": "package main"}},
		"changes with the dependencies":          {files: map[string]string{"go.mod": "module x // new"}},
		"changes with the dependencies' digests": {files: map[string]string{"go.sum": "other"}},
		"changes with the Go version":            {goVersion: "go1.26.1 amd64"},
		"changes with the version stamp":         {change: func(g *goPrograms) { g.programs[0].ldflags = "-X v=2" }},
		"changes with the tags":                  {change: func(g *goPrograms) { g.programs[0].tags = "b" }},
		"changes with the package":               {change: func(g *goPrograms) { g.programs[0].pkg = "./cmd" }},
		"changes with the links":                 {change: func(g *goPrograms) { g.links = []string{"y"} }},
		"changes with where it runs":             {change: func(g *goPrograms) { g.onHost = true }},
		"changes with what is copied":            {change: func(g *goPrograms) { g.files = map[string]string{"a": "b"} }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{}
			for _, set := range []map[string]string{original, tc.files} {
				for k, v := range set {
					files[k] = v
				}
			}
			g := goPrograms{programs: []goProgram{program}}
			if tc.change != nil {
				tc.change(&g)
			}
			goVersion := "go1.26.0 amd64"
			if tc.goVersion != "" {
				goVersion = tc.goVersion
			}
			if after := key(t, files, g, goVersion); (after == before) != tc.wantSame {
				t.Errorf("key went from %s to %s, want same: %v", before, after, tc.wantSame)
			}
		})
	}
}

func TestLastLines(t *testing.T) {
	if got, want := lastLines("a\nb\nc", 2), "b\nc"; got != want {
		t.Errorf("lastLines() = %q, want %q", got, want)
	}
	if got, want := lastLines("a", 2), "a"; got != want {
		t.Errorf("lastLines() = %q, want %q", got, want)
	}
}
