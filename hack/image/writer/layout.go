package writer

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// WriteLayout writes an OCI image layout as a tar archive: with one image, or one index of images, and the annotations of its entry.
func WriteLayout(output string, content mutate.Appendable, annotations map[string]string) error {
	dir, err := os.MkdirTemp(filepath.Dir(output), ".oci-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	switch c := content.(type) {
	case v1.ImageIndex:
		err = l.AppendIndex(c, layout.WithAnnotations(annotations))
	case v1.Image:
		err = l.AppendImage(c, layout.WithAnnotations(annotations))
	default:
		err = fmt.Errorf("%T is neither an image nor an index of images", content)
	}
	if err != nil {
		return err
	}
	tree, err := Tree(dir, "/")
	if err != nil {
		return err
	}
	return writeArchive(output, tree)
}

func writeArchive(output string, files []File) (err error) {
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
	if err := Archive(w, files); err != nil {
		return err
	}
	return w.Flush()
}
