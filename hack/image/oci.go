package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/meshfleet/meshfleet/hack/image/writer"
)

// layoutFile is the name of the archive with the OCI image layout.
const layoutFile = "meshfleet-oci.tar"

// writeOCI writes an OCI image layout with an image, or with an index of images, as one archive.
func writeOCI(output string, tag name.Tag, content mutate.Appendable) error {
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
	annotations := layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": tag.TagStr(),
		"io.containerd.image.name":          strings.TrimPrefix(tag.Name(), "index."),
	})
	switch c := content.(type) {
	case v1.ImageIndex:
		err = l.AppendIndex(c, annotations)
	case v1.Image:
		err = l.AppendImage(c, annotations)
	default:
		err = fmt.Errorf("%T is neither an image nor an index of images", content)
	}
	if err != nil {
		return err
	}
	tree, err := writer.Tree(dir, "/")
	if err != nil {
		return err
	}
	return writeArchive(output, tree)
}

func writeArchive(output string, files []writer.File) (err error) {
	f, err := os.OpenFile(output, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := writer.Archive(w, files); err != nil {
		return err
	}
	return w.Flush()
}
