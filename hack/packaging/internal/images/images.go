// Package images has references of container images, and the file that lists the images of the operator's operands.
package images

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// Reference is the name of an image. It has a tag, a digest or both.
type Reference struct {
	Repository, Tag, Digest string
}

// Parse reads a reference `repository[:tag][@digest]`.
func Parse(text string) (Reference, error) {
	name, digest, hasDigest := strings.Cut(text, "@")
	if hasDigest && !digestForm.MatchString(digest) {
		return Reference{}, fmt.Errorf("image %q: the digest %q is not sha256: with 64 hexadecimal digits", text, digest)
	}
	r := Reference{Repository: name, Digest: digest}
	// A colon before the last slash is that of a registry's port.
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		r.Repository, r.Tag = name[:i], name[i+1:]
	}
	if r.Repository == "" || r.Tag == "" && r.Digest == "" {
		return Reference{}, fmt.Errorf("image %q: write repository:tag or repository@digest", text)
	}
	return r, nil
}

// String returns the reference by digest if it has one, without the tag.
func (r Reference) String() string {
	if r.Digest != "" {
		return r.Repository + "@" + r.Digest
	}
	return r.Repository + ":" + r.Tag
}

// Image is an image that the operator makes members run.
type Image struct {
	// Name identifies the image in the bundle.
	Name string `json:"name"`
	// Repository is the name of the image with its registry.
	Repository string `json:"repository"`
	// Tag is the tag that the charts name.
	Tag string `json:"tag"`
	// Digest is the digest of the image, of the index over all platforms. Empty: unknown.
	Digest string `json:"digest,omitempty"`
}

// Reference returns the name of the image for clients of a registry.
func (i Image) Reference() Reference {
	return Reference{Repository: i.Repository, Tag: i.Tag, Digest: i.Digest}
}

// Load reads a list of images from a file.
func Load(path string) ([]Image, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		Images []Image `json:"images"`
	}
	if err := yaml.UnmarshalStrict(content, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	names := map[string]bool{}
	for _, image := range file.Images {
		if image.Name == "" || image.Repository == "" || image.Tag == "" {
			return nil, fmt.Errorf("%s: the image %q has no name, no repository or no tag", path, image.Name)
		}
		if names[image.Name] {
			return nil, fmt.Errorf("%s: the name %s is listed twice", path, image.Name)
		}
		names[image.Name] = true
		if image.Digest != "" && !digestForm.MatchString(image.Digest) {
			return nil, fmt.Errorf("%s: image %s: the digest %q is not sha256: with 64 hexadecimal digits", path, image.Name, image.Digest)
		}
	}
	return file.Images, nil
}
