package main

import (
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/meshfleet/meshfleet/hack/image/writer"
)

// layoutFile is the name of the archive with the OCI image layout.
const layoutFile = "meshfleet-oci.tar"

// writeOCI writes an OCI image layout with an image, or with an index of images, as one archive.
func writeOCI(output string, tag name.Tag, content mutate.Appendable) error {
	// The first annotation is OCI's, the second is what containerd calls an imported image: it writes Docker's default
	// registry without "index.".
	return writer.WriteLayout(output, content, map[string]string{
		"org.opencontainers.image.ref.name": tag.TagStr(),
		"io.containerd.image.name":          strings.TrimPrefix(tag.Name(), "index."),
	})
}
