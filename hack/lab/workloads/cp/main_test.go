package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "program")
	if err := os.WriteFile(source, []byte("content"), 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "folder")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args []string
		want string // the file with the copy; empty for an error
	}{
		"to a new file":                    {[]string{"-Rv", source, filepath.Join(dir, "copy")}, filepath.Join(dir, "copy")},
		"into a directory":                 {[]string{source, folder}, filepath.Join(folder, "program")},
		"without a target":                 {[]string{source}, ""},
		"with an option that is not there": {[]string{"--parents", source, folder}, ""},
		"of a directory":                   {[]string{"-R", folder, filepath.Join(dir, "other")}, ""},
		"of a file that is not there":      {[]string{filepath.Join(dir, "none"), folder}, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := run(tc.args, &out)
			if tc.want == "" {
				if err == nil {
					t.Fatalf("run() succeeded and printed %q", out.String())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			content, err := os.ReadFile(tc.want)
			if err != nil || string(content) != "content" {
				t.Errorf("the copy has %q, %v", content, err)
			}
			if info, err := os.Stat(tc.want); err != nil || info.Mode().Perm() != 0o755 {
				t.Errorf("the copy cannot be run: %v, %v", info.Mode(), err)
			}
		})
	}
}
