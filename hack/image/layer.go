package main

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// file is one entry of an archive; a path that ends in a slash is a directory.
type file struct {
	path    string
	mode    int64
	content []byte
}

type files []file

// layer makes an image layer. Directories that are not listed come before what they contain.
func (fs files) layer() (v1.Layer, error) {
	content, err := fs.archive()
	if err != nil {
		return nil, err
	}
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	return tarball.LayerFromOpener(opener, tarball.WithMediaType(types.OCILayer))
}

// archive makes a tar archive that depends on nothing but the files.
func (fs files) archive() ([]byte, error) {
	entries := map[string]file{}
	for _, f := range fs {
		for dir := path.Dir(strings.TrimSuffix(f.path, "/")); dir != "."; dir = path.Dir(dir) {
			if _, listed := entries[dir+"/"]; !listed {
				entries[dir+"/"] = file{path: dir + "/", mode: 0o755}
			}
		}
		entries[f.path] = f
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, p := range sortedKeys(entries) {
		f := entries[p]
		header := &tar.Header{
			Name: f.path, Mode: f.mode, Size: int64(len(f.content)), ModTime: time.Unix(0, 0).UTC(),
			Typeflag: tar.TypeReg, Format: tar.FormatPAX,
		}
		if strings.HasSuffix(f.path, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func sortedKeys(m map[string]file) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// writeOCI writes an OCI image layout as one archive.
func writeOCI(output string, tag name.Tag, img v1.Image) error {
	dir, err := os.MkdirTemp(filepath.Dir(output), ".oci-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	// The first annotation is OCI's, the second is what containerd calls an imported image: it writes Docker's default
	// registry without "index.".
	annotations := map[string]string{
		"org.opencontainers.image.ref.name": tag.TagStr(),
		"io.containerd.image.name":          strings.TrimPrefix(tag.Name(), "index."),
	}
	if err := l.AppendImage(img, layout.WithAnnotations(annotations)); err != nil {
		return err
	}
	tree, err := readTree(dir, "layout")
	if err != nil {
		return err
	}
	for i := range tree {
		tree[i].path = strings.TrimPrefix(tree[i].path, "layout/")
	}
	tree = slices.DeleteFunc(tree, func(f file) bool { return f.path == "" })
	content, err := tree.archive()
	if err != nil {
		return err
	}
	return os.WriteFile(output, content, 0o644)
}
