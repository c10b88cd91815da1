package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Options are the inputs of a release.
type Options struct {
	// Repository is the root of the repository.
	Repository string
	// Output is the directory for the artefacts. It must be empty, or must not exist.
	Output string
	// Version is a semantic version without v.
	Version string
	// Image is the name of the operator's image, without tag and digest.
	Image string
	// ImageArchive is the OCI layout that hack/image has written.
	ImageArchive string
	// Binaries are the operator's binaries in the image, by architecture.
	Binaries map[string]string
	// Charts is the directory of Istio's charts in the image.
	Charts string
	// Builder and Invocation identify who built, for the provenance: URIs. Invocation may be empty.
	Builder, Invocation string
	// AllowDirty accepts files that differ from the commit.
	AllowDirty bool
}

// Release is a release that is being written.
type Release struct {
	Options
	Source Source
	// Digest is the digest of the image's index: sha256:… .
	Digest string
	// Images are the digests of the other images of the release, by their names without tag and digest.
	Images map[string]string
	// Unpinned are the images that the release names without a digest.
	Unpinned []string
}

// Reference is the name of the operator's image with its digest.
func (r *Release) Reference() string { return r.Image + "@" + r.Digest }

// Add writes a file into the directory of the release.
func (r *Release) Add(name string, content []byte, mode fs.FileMode) error {
	path := filepath.Join(r.Output, name)
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("two artefacts are called %s", name)
	}
	if err := os.WriteFile(path, content, mode); err != nil {
		return err
	}
	// The permissions must not depend on the user's umask.
	return os.Chmod(path, mode)
}

// Artefact adds files to a release.
type Artefact func(r *Release) error

// Artefacts are those of this package. More of them may be appended before Run.
func Artefacts() []Artefact {
	return []Artefact{imageArchive, manifestFiles, memberFiles, helmChart, componentLists}
}

// Run writes all artefacts, and then the checksums and the provenance of all.
func Run(o Options, artefacts []Artefact) (*Release, error) {
	r, err := prepare(o)
	if err != nil {
		return nil, err
	}
	for _, artefact := range append(artefacts[:len(artefacts):len(artefacts)], checksums, provenance) {
		if err := artefact(r); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func prepare(o Options) (*Release, error) {
	source, err := ReadSource(o.Repository)
	if err != nil {
		return nil, err
	}
	if err := source.CheckClean(); err != nil && !o.AllowDirty {
		return nil, err
	}
	if err := checkVersion("version "+o.Version, o.Version); err != nil {
		return nil, err
	}
	if o.Builder == "" {
		return nil, errors.New("name the builder by a URI: --builder")
	}
	digest, err := indexDigest(o.ImageArchive, o.Binaries)
	if err != nil {
		return nil, fmt.Errorf("image in %s: %w", o.ImageArchive, err)
	}
	if err := os.MkdirAll(o.Output, 0o755); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(o.Output)
	if err != nil {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("%s has %d files, for example %s: delete them first", o.Output, len(entries), entries[0].Name())
	}
	return &Release{Options: o, Source: source, Digest: digest, Images: map[string]string{}}, nil
}
