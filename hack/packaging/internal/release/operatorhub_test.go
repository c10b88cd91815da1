package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"sigs.k8s.io/yaml"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/images"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/releases"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/validate"
)

// hub is what the bundle and the catalog of the test's release are made from: two images, with the digests given.
func hub(t *testing.T, digests ...string) OperatorHub {
	t.Helper()
	reasons, err := validate.LoadReasons(filepath.Join(realRepository, "hack", "packaging", "warnings.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	h := OperatorHub{History: &releases.History{UpgradableFrom: "0.1.0"}, Reasons: reasons}
	for i, name := range []string{"pilot", "proxyv2"} {
		image := images.Image{Name: "istio-" + name, Repository: "docker.io/istio/" + name, Tag: "1.29.1"}
		if i < len(digests) {
			image.Digest = digests[i]
		}
		h.Images = append(h.Images, image)
	}
	return h
}

// pinned is hub with a digest for each image.
func pinned(t *testing.T) OperatorHub {
	t.Helper()
	return hub(t, "sha256:"+strings.Repeat("1", 64), "sha256:"+strings.Repeat("2", 64))
}

// unpacked are the regular files of an archive, which may be compressed.
func unpacked(t *testing.T, content []byte) map[string][]byte {
	t.Helper()
	var reader io.Reader = bytes.NewReader(content)
	if bytes.HasPrefix(content, []byte{0x1f, 0x8b}) {
		var err error
		if reader, err = gzip.NewReader(reader); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string][]byte{}
	for r := tar.NewReader(reader); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if files[header.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// blob decodes a blob of a layout.
func blob(t *testing.T, layout map[string][]byte, digest v1.Hash, into any) {
	t.Helper()
	if err := json.Unmarshal(layout["blobs/"+digest.Algorithm+"/"+digest.Hex], into); err != nil {
		t.Fatalf("blob %s: %v", digest, err)
	}
}

func TestBundleOfARelease(t *testing.T) {
	r, files := written(t, options(t), append(Artefacts(), pinned(t).Add))
	bundle := unpacked(t, files["meshfleet-1.2.3-bundle.tar.gz"])
	csv := string(bundle["bundle/manifests/meshfleet.clusterserviceversion.yaml"])
	for _, want := range []string{
		"name: meshfleet.v1.2.3\n", "containerImage: " + r.Reference() + "\n", "image: " + r.Reference() + "\n", "image: docker.io/istio/pilot@sha256:1111",
		`createdAt: "2026-01-02T03:04:05Z"`, `features.operators.openshift.io/disconnected: "true"`,
	} {
		if !strings.Contains(csv, want) {
			t.Errorf("the ClusterServiceVersion does not contain %q", want)
		}
	}

	layout := unpacked(t, files["meshfleet-1.2.3-bundle-image.tar"])
	index, err := v1.ParseIndexManifest(bytes.NewReader(layout["index.json"]))
	if err != nil || len(index.Manifests) != 1 {
		t.Fatalf("the layout has the index %s, error %v", layout["index.json"], err)
	}
	var manifest v1.Manifest
	blob(t, layout, index.Manifests[0].Digest, &manifest)
	var config v1.ConfigFile
	blob(t, layout, manifest.Config.Digest, &config)
	var metadata struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := yaml.Unmarshal(bundle["bundle/metadata/annotations.yaml"], &metadata); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(metadata.Annotations, config.Config.Labels); diff != "" {
		t.Errorf("labels of the image (-annotations.yaml +image):\n%s", diff)
	}
	inImage := map[string][]byte{}
	for _, layer := range manifest.Layers {
		for name, content := range unpacked(t, layout["blobs/"+layer.Digest.Algorithm+"/"+layer.Digest.Hex]) {
			inImage["bundle/"+name] = content
		}
	}
	delete(bundle, "bundle/bundle.Dockerfile")
	if diff := cmp.Diff(bundle, inImage); diff != "" {
		t.Errorf("files of the image (-bundle +image):\n%s", diff)
	}

	reference := "registry.example.com/meshfleet-bundle@" + index.Manifests[0].Digest.String()
	catalog := unpacked(t, files["meshfleet-1.2.3-catalog.tar.gz"])
	if want := []string{"catalog.Dockerfile", "catalog/meshfleet/1.2.3.yaml", "catalog/meshfleet/package.yaml"}; !slices.Equal(want, slices.Sorted(maps.Keys(catalog))) {
		t.Errorf("the catalog has the files %v, want %v", slices.Sorted(maps.Keys(catalog)), want)
	}
	if !strings.Contains(string(catalog["catalog/meshfleet/1.2.3.yaml"]), "image: "+reference+"\n") {
		t.Errorf("the catalog does not name the bundle %s", reference)
	}
	var s statement
	if err := json.Unmarshal(files[provenanceFile], &s); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(s.Subject, func(subject resource) bool {
		return subject.Name == "registry.example.com/meshfleet-bundle" && subject.Digest["sha256"] == index.Manifests[0].Digest.Hex
	}) {
		t.Errorf("the provenance does not name the bundle %s: %v", reference, s.Subject)
	}
	if got, isThere := s.Predicate.BuildDefinition.InternalParameters["imagesWithoutDigest"]; isThere {
		t.Errorf("the provenance reports images without a digest: %v", got)
	}
}

func TestComponentsOfTheBundle(t *testing.T) {
	r, files := written(t, options(t), append(Artefacts(), pinned(t).Add))
	bom := &cdx.BOM{}
	if err := cdx.NewBOMDecoder(bytes.NewReader(files["meshfleet-1.2.3-bundle.cdx.json"]), cdx.BOMFileFormatJSON).Decode(bom); err != nil {
		t.Fatal(err)
	}
	main := bom.Metadata.Component
	if main.Name != "registry.example.com/meshfleet-bundle" || "sha256:"+(*main.Hashes)[0].Value != r.Images[main.Name] || main.Version != "v1.2.3" {
		t.Errorf("the list is of %s %s with the digest %v, want %v", main.Name, main.Version, *main.Hashes, r.Images)
	}
	found := map[string]bool{}
	for _, c := range *bom.Components {
		found[c.BOMRef] = true
	}
	for _, want := range []string{
		"pkg:oci/meshfleet@sha256%3A" + strings.TrimPrefix(r.Digest, "sha256:") + "?repository_url=registry.example.com/meshfleet&tag=1.2.3",
		"pkg:oci/pilot@sha256%3A" + strings.Repeat("1", 64) + "?repository_url=docker.io/istio/pilot&tag=1.29.1",
		"file:manifests/meshfleet.clusterserviceversion.yaml", "file:metadata/annotations.yaml",
	} {
		if !found[want] {
			t.Errorf("the list has no component %s", want)
		}
	}
}

// TestImagesWithoutDigest wants a release to be refused, or to report the images.
func TestImagesWithoutDigest(t *testing.T) {
	o, h := options(t), hub(t, "sha256:"+strings.Repeat("1", 64))
	_, err := Run(o, append(Artefacts(), h.Add))
	for _, want := range []string{"1 images have no digest", "docker.io/istio/proxyv2:1.29.1", "ALLOW_UNPINNED=1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
	o.Output, h.AllowUnpinned = filepath.Join(t.TempDir(), "output"), true
	r, files := written(t, o, append(Artefacts(), h.Add))
	want := []string{"docker.io/istio/proxyv2:1.29.1"}
	if !slices.Equal(r.Unpinned, want) {
		t.Errorf("the release reports %v, want %v", r.Unpinned, want)
	}
	var s statement
	if err := json.Unmarshal(files[provenanceFile], &s); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{want[0]}, s.Predicate.BuildDefinition.InternalParameters["imagesWithoutDigest"]); diff != "" {
		t.Errorf("the provenance reports other images without a digest (-want +got):\n%s", diff)
	}
	csv := string(unpacked(t, files["meshfleet-1.2.3-bundle.tar.gz"])["bundle/manifests/meshfleet.clusterserviceversion.yaml"])
	if !strings.Contains(csv, `features.operators.openshift.io/disconnected: "false"`) || strings.Contains(csv, "proxyv2") {
		t.Error("the bundle is for disconnected clusters, or names an image by its tag")
	}
}
