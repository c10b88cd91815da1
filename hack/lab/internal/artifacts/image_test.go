package artifacts

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/meshfleet/meshfleet/hack/image/writer"
)

func TestWriteImage(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "binary")
	if err := os.WriteFile(binary, []byte("ELF"), 0o700); err != nil {
		t.Fatal(err)
	}
	files := append(baseFiles(istioUser), writer.Program("/usr/local/bin/x", binary), writer.Symlink("/usr/sbin/y", "x"), writer.File{
		Path: "/etc/istio/proxy", Mode: fs.ModeDir | 0o755, UID: istioUser,
	})
	archives := [][]byte{}
	for _, name := range []string{"a.tar", "b.tar"} {
		path := filepath.Join(dir, name)
		if err := writeImage(path, "lab.local/istio/proxyv2:1", istioUser, "/usr/local/bin/x", files); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		archives = append(archives, content)
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("equal inputs gave different archives")
	}

	img, err := tarball.ImageFromPath(filepath.Join(dir, "a.tar"), nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "1337:1337" || config.Config.Entrypoint[0] != "/usr/local/bin/x" || config.OS != "linux" {
		t.Errorf("config is %+v, want user 1337, the entry point and linux", config.Config)
	}
	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(filepath.Join(dir, "a.tar")) })
	if err != nil {
		t.Fatal(err)
	}
	if got := manifest[0].RepoTags[0]; got != "lab.local/istio/proxyv2:1" {
		t.Errorf("reference is %q: the name must not be completed with a registry", got)
	}

	entries := map[string]*tar.Header{}
	reader := tar.NewReader(mutate.Extract(img))
	for {
		h, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		entries[strings.TrimSuffix(h.Name, "/")] = h
	}
	wantModes := map[string]int64{
		"tmp": 0o1777, "usr": 0o755, "usr/local/bin": 0o755, "usr/local/bin/x": 0o755, "etc/passwd": 0o644, "etc/istio/proxy": 0o755,
	}
	for name, mode := range wantModes {
		if h := entries[name]; h == nil || h.Mode != mode {
			t.Errorf("%s is %+v, want mode %o", name, h, mode)
		}
	}
	if h := entries["etc/istio/proxy"]; h == nil || h.Uid != istioUser {
		t.Errorf("/etc/istio/proxy is %+v, want it owned by %d", h, istioUser)
	}
	if h := entries["usr/sbin/y"]; h == nil || h.Linkname != "x" {
		t.Errorf("/usr/sbin/y is %+v, want a link to x", h)
	}
}
