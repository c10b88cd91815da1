package release

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// imageArchive copies the OCI layout of the image.
func imageArchive(r *Release) error {
	content, err := os.ReadFile(r.ImageArchive)
	if err != nil {
		return err
	}
	return r.Add(fmt.Sprintf("meshfleet-%s-image.tar", r.Version), content, 0o644)
}

// indexDigest returns the digest of the only index of images in an OCI layout. The index must have one image for each binary.
func indexDigest(archive string, binaries map[string]string) (string, error) {
	layout, err := index(archive, "index.json")
	if err != nil {
		return "", err
	}
	if len(layout.Manifests) != 1 || !layout.Manifests[0].MediaType.IsIndex() {
		return "", fmt.Errorf("the layout has %d entries, want one index of images", len(layout.Manifests))
	}
	digest := layout.Manifests[0].Digest
	images, err := index(archive, "blobs/"+digest.Algorithm+"/"+digest.Hex)
	if err != nil {
		return "", err
	}
	var have []string
	for _, image := range images.Manifests {
		if image.Platform == nil {
			return "", fmt.Errorf("the image %s has no platform", image.Digest)
		}
		have = append(have, image.Platform.String())
	}
	var want []string
	for arch := range binaries {
		want = append(want, "linux/"+arch)
	}
	if slices.Sort(have); !slices.Equal(have, slices.Sorted(slices.Values(want))) {
		return "", fmt.Errorf("the images are for %v, the binaries for %v", have, slices.Sorted(maps.Keys(binaries)))
	}
	return digest.String(), nil
}

// index reads an index of images. The name of a blob must be its checksum.
func index(archive, name string) (*v1.IndexManifest, error) {
	content, err := entry(archive, name)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	if want := filepath.Base(name); want != "index.json" && want != hex.EncodeToString(sum[:]) {
		return nil, fmt.Errorf("%s has the checksum %x", name, sum)
	}
	manifest, err := v1.ParseIndexManifest(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return manifest, nil
}

// entry returns a file of a tar archive.
func entry(archive, name string) ([]byte, error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	for reader := tar.NewReader(f); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("the archive has no %s", name)
		}
		if err != nil {
			return nil, err
		}
		if header.Name == name {
			return io.ReadAll(reader)
		}
	}
}
