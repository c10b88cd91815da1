package olm

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// archived is an image with a label, as make and the lab write images.
func archived(t *testing.T) string {
	t.Helper()
	image, err := mutate.Config(empty.Image, v1.Config{User: "1:1", Labels: map[string]string{"kept": "yes", "version": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag("example.com/image:1")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := tarball.WriteToFile(path, tag, image); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOperatorDiffersInItsLabel(t *testing.T) {
	archive, digests := archived(t), map[v1.Hash]string{}
	for _, version := range []string{"1", "2"} {
		image, err := Operator(archive, "version", version)
		if err != nil {
			t.Fatal(err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{"kept": "yes", "version": version}, config.Config.Labels); diff != "" || config.Config.User != "1:1" {
			t.Errorf("labels (-want +got):\n%s\nuser %q", diff, config.Config.User)
		}
		digest, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := digests[digest]; ok {
			t.Errorf("versions %s and %s have the same digest", other, version)
		}
		digests[digest] = version
	}
}

// files are the regular files of an image's layers with their content.
func files(t *testing.T, image v1.Image) map[string]string {
	t.Helper()
	out := map[string]string{}
	reader := tar.NewReader(mutate.Extract(image))
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		out[header.Name] = string(content)
	}
}

// write writes files below a directory.
func write(t *testing.T, dir string, contents map[string]string) {
	t.Helper()
	for path, content := range contents {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBundle(t *testing.T) {
	dir := t.TempDir()
	want := map[string]string{
		"manifests/a.yaml": "a", "metadata/annotations.yaml": "annotations:\n  key: value\n", "tests/scorecard/config.yaml": "c",
	}
	write(t, dir, want)
	write(t, dir, map[string]string{"bundle.Dockerfile": "not in the image"})
	image, err := Bundle(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, files(t, image)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"key": "value"}, config.Config.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if _, err := Bundle(t.TempDir()); err == nil {
		t.Error("a directory without a bundle has an image")
	}
}

func TestCatalog(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"meshfleet/package.yaml": "p"})
	image, err := Catalog(archived(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"configs/meshfleet/package.yaml": "p"}, files(t, image)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"/bin/opm", "serve", "/configs"}, append(config.Config.Entrypoint, config.Config.Cmd...)); diff != "" {
		t.Errorf("command (-want +got):\n%s", diff)
	}
}

func TestWriteNamesTheImageByItsDigest(t *testing.T) {
	image, err := Operator(archived(t), "version", "1")
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "new", "image.tar")
	ref, err := Write(image, "example.com/image", archive)
	if err != nil {
		t.Fatal(err)
	}
	namedEntry(t, archive, "example.com/image", ref)
}

func TestNamed(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first.tar"), filepath.Join(dir, "new", "second.tar")
	image, err := mutate.Config(empty.Image, v1.Config{User: "1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Write(image, "example.com/first", first); err != nil {
		t.Fatal(err)
	}
	ref, err := Named(first, "example.com/second", second)
	if err != nil {
		t.Fatal(err)
	}
	index, only := namedEntry(t, second, "example.com/second", ref)
	if copied, err := index.Image(only.Digest); err != nil {
		t.Error(err)
	} else if config, err := copied.ConfigFile(); err != nil || config.Config.User != "1:1" {
		t.Errorf("the copy has the configuration %v, error %v", config, err)
	}
	if _, err := Named(filepath.Join(dir, "none.tar"), "example.com/second", second); err == nil {
		t.Error("an archive that does not exist was copied")
	}
}

// unpack unpacks an archive into a directory.
func unpack(t *testing.T, archive string) string {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	dir, reader, contents := t.TempDir(), tar.NewReader(file), map[string]string{}
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			write(t, dir, contents)
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(header.Name, "/") {
			continue
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		contents[header.Name] = string(content)
	}
}

// namedEntry reads the only entry of an archive, which has the reference for a name, and returns it with the index that it is in.
func namedEntry(t *testing.T, archive, repository, ref string) (v1.ImageIndex, v1.Descriptor) {
	t.Helper()
	index, err := layout.ImageIndexFromPath(unpack(t, archive))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 {
		t.Fatalf("the archive has %d entries, want 1", len(manifest.Manifests))
	}
	only := manifest.Manifests[0]
	if want := repository + "@" + only.Digest.String(); ref != want || only.Annotations[imageName] != want {
		t.Errorf("reference %q, name in the archive %q, want %q", ref, only.Annotations[imageName], want)
	}
	return index, only
}
