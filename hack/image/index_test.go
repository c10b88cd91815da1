package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// indexSpec is testSpec with a binary for each of two architectures.
func indexSpec(t *testing.T) spec {
	t.Helper()
	s := testSpec(t)
	arm := buildProgram(t, filepath.Join(filepath.Dir(s.charts), "program"), "arm64")
	s.binary = "amd64=" + s.binary + ",arm64=" + arm
	s.arch, s.version, s.revision = "", "1.2.3", "0123abc"
	return s
}

func TestIndexHoldsAnImageForEachArchitecture(t *testing.T) {
	dir := t.TempDir()
	if err := runIndex(indexSpec(t), dir); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%d files, error %v, want only the layout", len(entries), err)
	}
	index := onlyIndex(t, filepath.Join(dir, layoutFile))
	if err := validate.Index(index); err != nil {
		t.Errorf("the index is not consistent: %v", err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, d := range manifest.Manifests {
		platforms = append(platforms, d.Platform.String())
		img, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.Architecture != d.Platform.Architecture {
			t.Errorf("the image for %s is of %s", d.Platform, config.Architecture)
		}
		if got := config.Config.Labels["org.opencontainers.image.version"]; got != "1.2.3" {
			t.Errorf("the image for %s has the version %q", d.Platform, got)
		}
		if got := config.Config.Labels["org.opencontainers.image.revision"]; got != "0123abc" {
			t.Errorf("the image for %s has the revision %q", d.Platform, got)
		}
	}
	if want := []string{"linux/amd64", "linux/arm64"}; !slices.Equal(platforms, want) {
		t.Errorf("platforms %v, want %v", platforms, want)
	}
}

func TestIndexIsReproducible(t *testing.T) {
	s := indexSpec(t)
	var archives [][]byte
	for range 2 {
		dir := t.TempDir()
		if err := runIndex(s, dir); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(dir, layoutFile))
		if err != nil {
			t.Fatal(err)
		}
		archives = append(archives, content)
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the layout differs between two runs")
	}
}

func TestIndexRefusesAListThatIsWrong(t *testing.T) {
	s := testSpec(t)
	for name, tt := range map[string]struct{ list, want string }{
		"no path":                  {list: "amd64=", want: "ARCHITECTURE=PATH"},
		"a path alone":             {list: "amd64=" + s.binary + "," + s.binary, want: "ARCHITECTURE=PATH"},
		"one architecture twice":   {list: "amd64=" + s.binary + ",amd64=" + s.binary, want: "two binaries for amd64"},
		"a binary of another kind": {list: "arm64=" + s.binary, want: "GOARCH=arm64"},
	} {
		t.Run(name, func(t *testing.T) {
			broken := s
			broken.binary = tt.list
			if err := runIndex(broken, t.TempDir()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

// onlyIndex unpacks an archive of an OCI layout, and returns the index of images in it.
func onlyIndex(t *testing.T, archive string) v1.ImageIndex {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(path, 0o750); err != nil {
				t.Fatal(err)
			}
			continue
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := root.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 {
		t.Fatalf("the layout has %d entries, want 1", len(manifest.Manifests))
	}
	index, err := root.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return index
}
