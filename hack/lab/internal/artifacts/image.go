package artifacts

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Users of the images. Istio's is part of its contract: istio-iptables exempts
// the traffic of uid 1337 from redirection. Nothing else may run as it.
const (
	istioUser = 1337
	nobody    = 65532
)

// imageFile is one entry of an image's file system: a folder, a link if target
// is set, the content if there is any, else a copy of the host's file source.
type imageFile struct {
	path    string // absolute, in the image
	mode    fs.FileMode
	uid     int
	source  string
	content []byte
	target  string
}

func dir(path string, uid int) imageFile {
	return imageFile{path: path, mode: fs.ModeDir | 0o755, uid: uid}
}

func program(path, source string) imageFile {
	return imageFile{path: path, mode: 0o755, source: source}
}

func symlink(path, target string) imageFile {
	return imageFile{path: path, mode: fs.ModeSymlink | 0o777, target: target}
}

func text(path, content string) imageFile {
	return imageFile{path: path, mode: 0o644, content: []byte(content)}
}

// baseFiles are in every image: what programs expect of any system. /tmp is
// open to all, so that an image also works as another user.
func baseFiles(uid int) []imageFile {
	return []imageFile{
		{path: "/tmp", mode: fs.ModeDir | fs.ModeSticky | 0o777},
		text("/etc/passwd", fmt.Sprintf("root:x:0:0:root:/:/sbin/nologin\nlab:x:%[1]d:%[1]d:lab:/tmp:/sbin/nologin\n", uid)),
		text("/etc/group", fmt.Sprintf("root:x:0:\nlab:x:%d:\n", uid)),
		// Names resolve as in the cluster: files first, then DNS, nothing else.
		text("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
	}
}

// staticImage is the recipe of an image with one static program as its entry point.
func staticImage(ref string, from Name, binary string, uid int) recipe {
	return recipe{
		ref: ref, needs: []Name{from},
		build: func(_ context.Context, s *session, out string) error {
			files := append(baseFiles(uid), program("/usr/local/bin/"+binary, filepath.Join(s.paths[from], binary)))
			return writeImage(out, ref, uid, "/usr/local/bin/"+binary, files)
		},
	}
}

// writeImage writes a one-layer image as a Docker archive.
func writeImage(out, ref string, uid int, entrypoint string, files []imageFile) error {
	tag, err := name.NewTag(ref, name.StrictValidation)
	if err != nil {
		return err
	}
	var layer bytes.Buffer
	// The nodes unpack every image during boot: that must be cheap, and the
	// archives never travel.
	zip, err := gzip.NewWriterLevel(&layer, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if err := writeLayer(zip, files); err != nil {
		return fmt.Errorf("layer of image %s: %w", ref, err)
	}
	if err := zip.Close(); err != nil {
		return err
	}
	img, err := assemble(layer.Bytes(), uid, entrypoint)
	if err != nil {
		return fmt.Errorf("assemble image %s: %w", ref, err)
	}
	return tarball.WriteToFile(out, tag, img)
}

func assemble(layer []byte, uid int, entrypoint string) (v1.Image, error) {
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(layer)), nil
	})
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		return nil, err
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", runtime.GOARCH
	cfg.Created = v1.Time{Time: time.Unix(0, 0).UTC()} // equal inputs, equal digest
	cfg.Config = v1.Config{
		Entrypoint: []string{entrypoint},
		Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		User:       fmt.Sprintf("%[1]d:%[1]d", uid),
		WorkingDir: "/",
	}
	return mutate.ConfigFile(img, cfg)
}

// writeLayer writes files with their parent folders, sorted and without times,
// so that the same files give the same layer.
func writeLayer(w io.Writer, files []imageFile) error {
	tw := tar.NewWriter(w)
	for _, f := range withParents(files) {
		if err := writeEntry(tw, f); err != nil {
			return fmt.Errorf("add %s: %w", f.path, err)
		}
	}
	return tw.Close()
}

func withParents(files []imageFile) []imageFile {
	byPath := map[string]imageFile{}
	for _, f := range files {
		byPath[f.path] = f
	}
	for _, f := range files {
		for p := path.Dir(f.path); p != "/"; p = path.Dir(p) {
			if _, ok := byPath[p]; !ok {
				byPath[p] = dir(p, 0)
			}
		}
	}
	all := make([]imageFile, 0, len(byPath))
	for _, f := range byPath {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b imageFile) int { return strings.Compare(a.path, b.path) })
	return all
}

func writeEntry(tw *tar.Writer, f imageFile) error {
	h := &tar.Header{
		Name: strings.TrimPrefix(f.path, "/"), Mode: int64(f.mode.Perm()),
		Uid: f.uid, Gid: f.uid, ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg,
	}
	switch {
	case f.mode&fs.ModeDir != 0:
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
		if f.mode&fs.ModeSticky != 0 {
			h.Mode |= 0o1000
		}
		return tw.WriteHeader(h)
	case f.target != "":
		h.Typeflag, h.Linkname = tar.TypeSymlink, f.target
		return tw.WriteHeader(h)
	}
	content := f.content
	if f.source != "" {
		var err error
		if content, err = os.ReadFile(f.source); err != nil {
			return err
		}
	}
	h.Size = int64(len(content))
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	_, err := tw.Write(content)
	return err
}
