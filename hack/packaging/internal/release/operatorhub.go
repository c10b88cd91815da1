package release

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/meshfleet/meshfleet/hack/image/writer"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/bundle"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/catalog"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/images"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/releases"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/validate"
)

// OperatorHub makes what the Operator Lifecycle Manager installs the operator from.
type OperatorHub struct {
	// Images are the images of the operands.
	Images []images.Image
	// History are the versions before this one.
	History *releases.History
	// Reasons are why warnings of the validators stay.
	Reasons []validate.Reason
	// AllowUnpinned accepts images of operands that have no digest. The bundle cannot list them, so a mirror of it is incomplete.
	AllowUnpinned bool
}

// CheckPinned returns an error if an image of an operand has no digest, unless that is accepted.
func (h OperatorHub) CheckPinned() error {
	var missing []string
	for _, image := range h.Images {
		if image.Digest == "" {
			missing = append(missing, image.Reference().String())
		}
	}
	if len(missing) == 0 || h.AllowUnpinned {
		return nil
	}
	return fmt.Errorf("%d images have no digest in hack/packaging/images.yaml, for example %s: record the digests, as `crane digest` prints them, "+
		"or accept a bundle that cannot be mirrored as a whole with ALLOW_UNPINNED=1", len(missing), missing[0])
}

// Add adds the bundle as an archive and as the image that OperatorHub asks for, the list of what is in it, and the catalog that offers it.
func (h OperatorHub) Add(r *Release) error {
	if err := h.CheckPinned(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "meshfleet-release-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	version, err := releases.ParseVersion(r.Version)
	if err != nil {
		return err
	}
	built, err := bundle.Build(bundle.Options{
		Root: r.Repository, Version: version, Image: r.Reference(), Images: h.Images, History: h.History, Created: r.Source.Time, Release: !h.AllowUnpinned,
	})
	if err != nil {
		return err
	}
	for _, image := range built.LeftOut {
		r.Unpinned = append(r.Unpinned, image.String())
	}
	bundles := filepath.Join(dir, "bundles")
	if err := built.Write(filepath.Join(bundles, "bundle")); err != nil {
		return err
	}
	if err := h.validate(filepath.Join(bundles, "bundle")); err != nil {
		return err
	}
	if err := r.addTree("bundle", bundles); err != nil {
		return err
	}
	if err := r.addBundleImage(built, dir); err != nil {
		return err
	}
	if err := h.addCatalog(r, filepath.Join(bundles, "bundle"), filepath.Join(dir, "catalogs")); err != nil {
		return err
	}
	return r.bundleComponents(built, h.Images)
}

// validate runs the validators of OperatorHub.
func (h OperatorHub) validate(dir string) error {
	problems, warnings, err := validate.Bundle(dir)
	if err != nil {
		return err
	}
	unexplained, _ := validate.Explain(warnings, h.Reasons)
	var all []error
	for _, finding := range slices.Concat(problems, unexplained) {
		all = append(all, fmt.Errorf("bundle: %s", finding))
	}
	return errors.Join(all...)
}

// addTree adds a directory as an archive.
func (r *Release) addTree(name, dir string) error {
	files, err := writer.Tree(dir, "/")
	if err != nil {
		return err
	}
	content, err := writer.Package(files)
	if err != nil {
		return err
	}
	return r.Add(fmt.Sprintf("meshfleet-%s-%s.tar.gz", r.Version, name), content, 0o644)
}

// bundleRepository is the name of the image with the bundle, without tag and digest.
func (r *Release) bundleRepository() string { return r.Image + "-bundle" }

// bundleReference is the name of the image with the bundle, with its digest.
func (r *Release) bundleReference() string {
	return r.bundleRepository() + "@" + r.Images[r.bundleRepository()]
}

// addBundleImage adds the image that bundle.Dockerfile makes of the bundle, as an OCI layout. It has no programs, and is for all architectures.
func (r *Release) addBundleImage(b *bundle.Bundle, dir string) error {
	image, err := bundleImage(b)
	if err != nil {
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	archive := filepath.Join(dir, "bundle.tar")
	if err := writer.WriteLayout(archive, image, map[string]string{"org.opencontainers.image.ref.name": "v" + r.Version}); err != nil {
		return err
	}
	content, err := os.ReadFile(archive)
	if err != nil {
		return err
	}
	r.Images[r.bundleRepository()] = digest.String()
	return r.Add(fmt.Sprintf("meshfleet-%s-bundle-image.tar", r.Version), content, 0o644)
}

// bundleImage has one layer for each directory that bundle.Dockerfile copies.
func bundleImage(b *bundle.Bundle) (v1.Image, error) {
	image := writer.Image{Arch: "amd64", Config: v1.Config{WorkingDir: "/", Labels: b.Annotations}}
	for _, dir := range []string{"manifests/", "metadata/", "tests/scorecard/"} {
		layer := writer.Layer{History: v1.History{Created: writer.Epoch, CreatedBy: "hack/packaging", Comment: dir}}
		for name, content := range b.Files {
			if strings.HasPrefix(name, dir) {
				layer.Files = append(layer.Files, writer.File{Path: path.Join("/", name), Mode: 0o644, Content: content})
			}
		}
		image.Layers = append(image.Layers, layer)
	}
	return image.Build()
}

// addCatalog adds the catalog of all versions that were published, and of this one.
func (h OperatorHub) addCatalog(r *Release, bundleDir, dir string) error {
	config, err := catalog.Build(h.History, []catalog.Bundle{{Dir: bundleDir, Image: r.bundleReference()}})
	if err != nil {
		return err
	}
	target := filepath.Join(dir, "catalog")
	if err := catalog.Write(config, target); err != nil {
		return err
	}
	if err := catalog.Check(context.Background(), target); err != nil {
		return err
	}
	return r.addTree("catalog", dir)
}
