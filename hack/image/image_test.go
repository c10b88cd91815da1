package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestImageIsReproducible(t *testing.T) {
	s := testSpec(t)
	first, second := t.TempDir(), t.TempDir()
	if err := run(s, first); err != nil {
		t.Fatal(err)
	}
	if err := run(s, second); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"meshfleet.tar", "meshfleet-oci.tar"} {
		a, err := os.ReadFile(filepath.Join(first, f))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(second, f))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s differs between two runs", f)
		}
	}
	entries, err := os.ReadDir(first)
	if err != nil || len(entries) != 2 {
		t.Errorf("%d files are left behind, want 2: %v", len(entries), err)
	}
}

func TestImageContents(t *testing.T) {
	s := testSpec(t)
	dir := t.TempDir()
	if err := run(s, dir); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(s.name)
	if err != nil {
		t.Fatal(err)
	}
	img, err := tarball.ImageFromPath(filepath.Join(dir, "meshfleet.tar"), &tag)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "65532:65532" || len(config.Config.Entrypoint) != 1 || config.Config.Entrypoint[0] != "/manager" {
		t.Errorf("config is %+v", config.Config)
	}
	got := map[string]int64{}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for tr := tar.NewReader(r); ; {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.Uid != 0 || h.Gid != 0 || h.ModTime.Unix() != 0 {
				t.Errorf("%s: owner %d:%d, time %s", h.Name, h.Uid, h.Gid, h.ModTime)
			}
			got[h.Name] = h.Mode
		}
	}
	for path, mode := range map[string]int64{
		"manager": 0o755, "charts/": 0o755, "charts/1.0.0/base/Chart.yaml": 0o644, "tmp/": 0o1777, "etc/passwd": 0o644, strings.TrimPrefix(certificates, "/"): 0o644,
	} {
		if got[path] != mode {
			t.Errorf("%s has mode %o, want %o", path, got[path], mode)
		}
	}
}

func TestImageRefusesWhatCannotRun(t *testing.T) {
	s := testSpec(t)
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for what, broken := range map[string]spec{
		"a script":                        {binary: script, charts: s.charts, name: s.name, arch: s.arch},
		"no binary":                       {binary: filepath.Join(t.TempDir(), "none"), charts: s.charts, name: s.name, arch: s.arch},
		"an empty library":                {binary: s.binary, charts: t.TempDir(), name: s.name, arch: s.arch},
		"a bad name":                      {binary: s.binary, charts: s.charts, name: "Not A Name", arch: s.arch},
		"a binary of another machine":     {binary: s.binary, charts: s.charts, name: s.name, arch: "arm64"},
		"an architecture that is unknown": {binary: s.binary, charts: s.charts, name: s.name, arch: "m68k"},
	} {
		if err := run(broken, t.TempDir()); err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
}

func TestPublicRoots(t *testing.T) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(publicRoots()) {
		t.Error("no certificate in the bundle")
	}
}

// testSpec builds a small static program and a library with one chart.
func testSpec(t *testing.T) spec {
	t.Helper()
	dir := t.TempDir()
	write := func(path, content string) {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("program/go.mod", "module program\n\ngo 1.26\n")
	write("program/main.go", "package main\n\nfunc main() {}\n")
	write("charts/1.0.0/base/Chart.yaml", "name: base\n")
	const arch = "amd64"
	return spec{
		binary: buildProgram(t, filepath.Join(dir, "program"), arch), charts: filepath.Join(dir, "charts"), name: "meshfleet/meshfleet:dev", arch: arch,
	}
}

// buildProgram builds the program in a directory for an architecture, and returns the path of the binary.
func buildProgram(t *testing.T, dir, arch string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "manager-"+arch)
	cmd := exec.Command("go", "build", "-o", binary, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the test program for %s: %v\n%s", arch, err, out)
	}
	return binary
}
