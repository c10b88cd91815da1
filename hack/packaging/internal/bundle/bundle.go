package bundle

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/blang/semver/v4"
	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/images"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/manifests"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/releases"
)

// Options are what a bundle is made of.
type Options struct {
	// Root is the root of the repository.
	Root string
	// Version is the version of the operator.
	Version semver.Version
	// Image is the operator's image. Default: the image of config/manager.
	Image string
	// Images are the images of the operands.
	Images []images.Image
	// History are the versions before this one.
	History *releases.History
	// Created is the time of the version, for people. Zero: the bundle does not have it.
	Created time.Time
	// Release makes an image without a digest an error.
	Release bool
}

// Bundle is an OperatorHub bundle of the format registry+v1.
type Bundle struct {
	// CSV is the ClusterServiceVersion.
	CSV *operatorsv1alpha1.ClusterServiceVersion
	// Files are the contents by path below the directory of the bundle.
	Files map[string][]byte
	// Annotations describe the bundle to catalogs. They are in one of the files, and are the labels of the bundle's image.
	Annotations map[string]string
	// LeftOut are the images that have no digest and are therefore no relatedImages.
	LeftOut []images.Reference
}

// Build makes a bundle. The same input gives the same bytes.
func Build(o Options) (*Bundle, error) {
	objects, err := manifests.Render(filepath.Join(o.Root, "config", "manifests"))
	if err != nil {
		return nil, err
	}
	p, err := classify(objects)
	if err != nil {
		return nil, err
	}
	b := &Bundle{CSV: p.csv, Annotations: bundleAnnotations(o.Version, o.History)}
	if b.LeftOut, err = complete(p, o); err != nil {
		return nil, err
	}
	if o.Release && len(b.LeftOut) > 0 {
		return nil, fmt.Errorf("%d images have no digest: %v. Set the operator's with --image, the others in hack/packaging/images.yaml",
			len(b.LeftOut), b.LeftOut)
	}
	if b.Files, err = metadata(o.Root, b.Annotations); err != nil {
		return nil, err
	}
	if err := b.add(releases.Package+".clusterserviceversion.yaml", b.CSV); err != nil {
		return nil, err
	}
	for _, u := range slices.Concat(p.definitions, p.kept) {
		// OLM installs everything into the namespace of the Subscription.
		unstructured.RemoveNestedField(u.Object, "metadata", "namespace")
		if err := b.add(fileName(u), u); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// add adds a manifest.
func (b *Bundle) add(name string, object any) error {
	path := "manifests/" + name
	if _, isTaken := b.Files[path]; isTaken {
		return fmt.Errorf("two objects have the file %s", path)
	}
	content, err := manifests.Marshal(object)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	b.Files[path] = append([]byte(generatedHeader), content...)
	return nil
}

// fileName is the name that operator-sdk gives the file of an object.
func fileName(u *unstructured.Unstructured) string {
	gvk := u.GroupVersionKind()
	if gvk.Kind == "CustomResourceDefinition" {
		plural, group, _ := strings.Cut(u.GetName(), ".")
		return group + "_" + plural + ".yaml"
	}
	names := []string{u.GetName(), gvk.Group, gvk.Version, strings.ToLower(gvk.Kind)}
	if gvk.Group == "" {
		names = append(names[:1], names[2:]...)
	}
	return strings.Join(names, "_") + ".yaml"
}

// Write writes the bundle to a directory, and removes manifests there that the bundle does not have.
func (b *Bundle) Write(dir string) error {
	old, err := filepath.Glob(filepath.Join(dir, "manifests", "*.yaml"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if _, isNew := b.Files["manifests/"+filepath.Base(path)]; isNew {
			continue
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	for name, content := range b.Files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
