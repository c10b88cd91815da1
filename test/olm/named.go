package olm

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Named copies an archive with the OCI layout of an image, or of an index of images. A node imports the copy as repository@digest, which is
// returned.
func Named(archive, repository, target string) (ref string, err error) {
	in, err := os.Open(archive)
	if err != nil {
		return "", err
	}
	defer func() { _ = in.Close() }()
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return "", err
	}
	out, err := os.Create(target)
	if err != nil {
		return "", err
	}
	w := tar.NewWriter(out)
	ref, err = copyNamed(tar.NewReader(in), w, repository)
	if err == nil && ref == "" {
		err = fmt.Errorf("%s has no index.json", archive)
	}
	return ref, errors.Join(err, w.Close(), out.Close())
}

func copyNamed(r *tar.Reader, w *tar.Writer, repository string) (ref string, err error) {
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return ref, nil
		}
		if err != nil {
			return "", err
		}
		var content io.Reader = r
		if header.Name == "index.json" {
			var index []byte
			if index, ref, err = named(r, repository); err != nil {
				return "", err
			}
			header.Size, content = int64(len(index)), bytes.NewReader(index)
		}
		if err := w.WriteHeader(header); err != nil {
			return "", err
		}
		if _, err := io.Copy(w, content); err != nil { //nolint:gosec // the archive is one of ours
			return "", err
		}
	}
}

// named gives the only entry of an index the name by which a node imports it.
func named(r io.Reader, repository string) (index []byte, ref string, err error) {
	manifest, err := v1.ParseIndexManifest(r)
	if err != nil {
		return nil, "", err
	}
	if len(manifest.Manifests) != 1 {
		return nil, "", fmt.Errorf("the layout has %d entries, want 1", len(manifest.Manifests))
	}
	ref = repository + "@" + manifest.Manifests[0].Digest.String()
	manifest.Manifests[0].Annotations = map[string]string{imageName: ref}
	index, err = json.Marshal(manifest)
	return index, ref, err
}
