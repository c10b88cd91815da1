package writer

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Epoch is the time of creation in every image: the same input must give the same digest.
var Epoch = v1.Time{Time: time.Unix(0, 0).UTC()}

// Image describes an image for Linux.
type Image struct {
	Arch   string
	Config v1.Config
	// Layers are in the order in which they are unpacked. What changes least comes first, so that registries and nodes
	// keep those layers.
	Layers []Layer
}

// Layer is one layer of an image, with its line in the image's history.
type Layer struct {
	Files   []File
	History v1.History
}

// Build makes the image, in OCI's format.
func (i Image) Build() (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for n, l := range i.Layers {
		layer, err := compress(l.Files)
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", n, err)
		}
		img, err = mutate.Append(img, mutate.Addendum{Layer: layer, MediaType: types.OCILayer, History: l.History})
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", n, err)
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created, config.Config = "linux", i.Arch, Epoch, i.Config
	return mutate.ConfigFile(img, config)
}

// compress makes a layer. It compresses at the lowest level: nodes of the lab unpack every image while they boot.
func compress(files []File) (v1.Layer, error) {
	layer, err := packed(files, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(layer)), nil
	}, tarball.WithMediaType(types.OCILayer))
}
