package writer

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// TestSameInputGivesSameDigest pins the digest of the archive in the layer. It must change only on purpose: nodes and
// registries keep layers by their digest, and the lab's cache does not notice another writer (recipeVersion).
func TestSameInputGivesSameDigest(t *testing.T) {
	const want = "sha256:8830c9bc9e6ff332f7a8b78ad77fe19ef4d6762e1487445b86fb1f82acb6b0e8"
	source := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(source, []byte("program"), 0o600); err != nil {
		t.Fatal(err)
	}
	files := []File{
		SharedDir("/tmp"), Program("/usr/local/bin/program", source), Symlink("/usr/bin/link", "program"), Text("/etc/passwd", "root"),
		Dir("/var/data", 1337), Dir("/usr/local-data", 0), Text("/usr/local/a", "a"),
	}
	first := build(t, files)
	// The order of the files is no input.
	for i, j := 0, len(files)-1; i < j; i, j = i+1, j-1 {
		files[i], files[j] = files[j], files[i]
	}
	second := build(t, files)
	if a, b := digest(t, first), digest(t, second); a != b {
		t.Errorf("the same input gave the digests %s and %s", a, b)
	}
	layers, err := first.Layers()
	if err != nil {
		t.Fatal(err)
	}
	// Compression is not pinned: another release of Go may compress otherwise.
	if got, err := layers[0].DiffID(); err != nil || got.String() != want {
		t.Errorf("the archive has the digest %s, error %v, want %s", got, err, want)
	}
}

func TestArchive(t *testing.T) {
	var out bytes.Buffer
	files := []File{
		Text("/a/b/c", "text"), Text("/a/b-c", ""), SharedDir("/tmp"), Symlink("/a/link", "b/c"), Dir("/data", 7),
		{Path: "/twice", Mode: 0o600, Content: []byte("first")}, {Path: "/twice", Mode: 0o644, Content: []byte("last")},
	}
	if err := Archive(&out, files); err != nil {
		t.Fatal(err)
	}
	type entry struct {
		name    string
		mode    int64
		uid     int
		content string
		target  string
	}
	var got []entry
	for r := tar.NewReader(&out); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.Unix() != 0 || h.Uid != h.Gid {
			t.Errorf("%s has the time %s and the owner %d:%d", h.Name, h.ModTime, h.Uid, h.Gid)
		}
		got = append(got, entry{h.Name, h.Mode, h.Uid, string(content), h.Linkname})
	}
	want := []entry{
		{"a/", 0o755, 0, "", ""}, {"a/b-c", 0o644, 0, "", ""}, {"a/b/", 0o755, 0, "", ""}, {"a/b/c", 0o644, 0, "text", ""},
		{"a/link", 0o777, 0, "", "b/c"}, {"data/", 0o755, 7, "", ""}, {"tmp/", 0o1777, 0, "", ""}, {"twice", 0o644, 0, "last", ""},
	}
	if len(got) != len(want) {
		t.Fatalf("got the entries %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("entry %d is %v, want %v", i, got[i], want[i])
		}
	}
}

func TestTree(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a", "b"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := Tree(dir, "/charts")
	if err != nil || len(files) != 2 || files[0].Path != "/charts/a" || files[1].Path != "/charts/a/b" || files[1].Mode != 0o644 {
		t.Errorf("got %v, error %v", files, err)
	}
	if err := os.Symlink("b", filepath.Join(dir, "a", "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := Tree(dir, "/charts"); err == nil {
		t.Error("a symbolic link was accepted")
	}
}

func build(t *testing.T, files []File) v1.Image {
	t.Helper()
	img, err := Image{Arch: "amd64", Config: v1.Config{User: "1337:1337"}, Layers: []Layer{{Files: files}}}.Build()
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func digest(t *testing.T, img v1.Image) string {
	t.Helper()
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}
