package release

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/bundle"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/images"
)

// bundleComponents adds the CycloneDX list of the bundle: its files, and the images that an installation from it runs. An image without a
// digest is listed by its tag alone.
func (r *Release) bundleComponents(b *bundle.Bundle, operands []images.Image) error {
	reference, err := images.Parse(r.bundleReference())
	if err != nil {
		return err
	}
	operator, err := images.Parse(r.Reference())
	if err != nil {
		return err
	}
	operator.Tag = r.Version
	all := []cdx.Component{container(operator)}
	for _, image := range operands {
		all = append(all, container(image.Reference()))
	}
	for _, name := range slices.Sorted(maps.Keys(b.Files)) {
		sum := sha256.Sum256(b.Files[name])
		all = append(all, cdx.Component{
			Type: cdx.ComponentTypeFile, BOMRef: "file:" + name, Name: name,
			Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}},
		})
	}
	reference.Tag = "v" + r.Version
	main := container(reference)
	main.Description = "The bundle for the Operator Lifecycle Manager"
	main.Licenses = &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}}
	return r.addComponents("bundle", main, reference.Digest, all)
}

// container is an image as a component, with the name that the package URL of an image has.
func container(image images.Reference) cdx.Component {
	purl := "pkg:oci/" + strings.ToLower(path.Base(image.Repository))
	c := cdx.Component{Type: cdx.ComponentTypeContainer, Name: image.Repository, Version: image.Tag}
	if algorithm, digest, ok := strings.Cut(image.Digest, ":"); ok {
		purl += "@" + algorithm + "%3A" + digest
		c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: digest}}
	}
	purl += "?repository_url=" + image.Repository + "&tag=" + image.Tag
	c.BOMRef, c.PackageURL = purl, purl
	return c
}

// addComponents adds a list of the components of main. The checksum identifies the list: that of what it is about, with or without sha256: .
func (r *Release) addComponents(name string, main cdx.Component, sum string, all []cdx.Component) error {
	bom := cdx.NewBOM()
	bom.SerialNumber = "urn:uuid:" + uuidOf(strings.TrimPrefix(sum, "sha256:"))
	bom.Metadata = &cdx.Metadata{Timestamp: r.Source.Time.Format(time.RFC3339), Component: &main}
	bom.Components = &all
	bom.Dependencies = &[]cdx.Dependency{{Ref: main.BOMRef, Dependencies: references(all)}}
	var out bytes.Buffer
	if err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return err
	}
	return r.Add(fmt.Sprintf("meshfleet-%s-%s.cdx.json", r.Version, name), out.Bytes(), 0o644)
}
