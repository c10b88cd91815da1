// Package olm makes the images from which OLM installs the operator: those of bundles, of catalogs, and of operators that differ in nothing but
// a label. They are named by digest, as in a release. A kubelet starts such an image from what was imported, without a registry; it would
// pull a catalog or a bundle that is named by tag.
package olm

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"sigs.k8s.io/yaml"
)

// imageName is the annotation by which containerd names an image that it imports.
const imageName = "io.containerd.image.name"

// Operator returns the image of an archive with a label: the same programs under another digest.
func Operator(archive, key, value string) (v1.Image, error) {
	image, err := tarball.ImageFromPath(archive, nil)
	if err != nil {
		return nil, fmt.Errorf("read image %s: %w", archive, err)
	}
	return configured(image, func(c *v1.Config) {
		labels := map[string]string{key: value}
		for k, v := range c.Labels {
			if k != key {
				labels[k] = v
			}
		}
		c.Labels = labels
	})
}

// Bundle returns the image that bundle.Dockerfile makes of a directory with a bundle.
func Bundle(dir string) (v1.Image, error) {
	content, err := os.ReadFile(filepath.Join(dir, "metadata", "annotations.yaml"))
	if err != nil {
		return nil, err
	}
	var metadata struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := yaml.UnmarshalStrict(content, &metadata); err != nil {
		return nil, fmt.Errorf("read the annotations of bundle %s: %w", dir, err)
	}
	image, err := withDirectories(empty.Image, map[string]string{
		"manifests": filepath.Join(dir, "manifests"), "metadata": filepath.Join(dir, "metadata"),
		"tests/scorecard": filepath.Join(dir, "tests", "scorecard"),
	})
	if err != nil {
		return nil, err
	}
	return configured(image, func(c *v1.Config) { c.Labels, c.WorkingDir = metadata.Annotations, "/" })
}

// Catalog returns the image of a directory with a catalog, made of the archive of an image with opm. It has no cache: opm makes one at its
// start.
func Catalog(opm, dir string) (v1.Image, error) {
	base, err := tarball.ImageFromPath(opm, nil)
	if err != nil {
		return nil, fmt.Errorf("read image %s: %w", opm, err)
	}
	image, err := withDirectories(base, map[string]string{"configs": dir})
	if err != nil {
		return nil, err
	}
	return configured(image, func(c *v1.Config) { c.Entrypoint, c.Cmd = []string{"/bin/opm"}, []string{"serve", "/configs"} })
}

// configured returns the image with another configuration.
func configured(image v1.Image, change func(*v1.Config)) (v1.Image, error) {
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	change(&file.Config)
	return mutate.ConfigFile(image, file)
}

// withDirectories adds one layer with directories of this machine, by their paths in the image.
func withDirectories(image v1.Image, directories map[string]string) (v1.Image, error) {
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	for _, target := range slices.Sorted(maps.Keys(directories)) {
		if err := addDirectory(w, target, directories[target]); err != nil {
			return nil, fmt.Errorf("add %s: %w", directories[target], err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(image, layer)
}

// addDirectory adds a tree, without times and owners: the same content has the same digest.
func addDirectory(w *tar.Writer, target, dir string) error {
	files := os.DirFS(dir)
	return fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		header := &tar.Header{Name: path.Join(target, name), Format: tar.FormatPAX}
		if entry.IsDir() {
			header.Typeflag, header.Mode, header.Name = tar.TypeDir, 0o755, header.Name+"/"
			return w.WriteHeader(header)
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		header.Typeflag, header.Mode, header.Size = tar.TypeReg, 0o644, int64(len(content))
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
}

// Write writes an image as an archive that a node imports as repository@digest, and returns this reference.
func Write(image v1.Image, repository, archive string) (ref string, err error) {
	digest, err := image.Digest()
	if err != nil {
		return "", err
	}
	ref = repository + "@" + digest.String()
	if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(filepath.Dir(archive), ".oci-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		return "", err
	}
	if err := l.AppendImage(image, layout.WithAnnotations(map[string]string{imageName: ref})); err != nil {
		return "", fmt.Errorf("write image %s: %w", ref, err)
	}
	return ref, pack(dir, archive)
}

// pack writes a directory as a tar archive.
func pack(dir, archive string) error {
	out, err := os.Create(archive)
	if err != nil {
		return err
	}
	w := tar.NewWriter(out)
	return errors.Join(w.AddFS(os.DirFS(dir)), w.Close(), out.Close())
}
