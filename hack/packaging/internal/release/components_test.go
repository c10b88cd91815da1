package release

import (
	"bytes"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

func TestComponentsOfTheImage(t *testing.T) {
	o := options(t)
	_, files := written(t, o, Artefacts())
	for arch, binary := range o.Binaries {
		bom := &cdx.BOM{}
		if err := cdx.NewBOMDecoder(bytes.NewReader(files["meshfleet-1.2.3-"+arch+".cdx.json"]), cdx.BOMFileFormatJSON).Decode(bom); err != nil {
			t.Fatal(err)
		}
		main := bom.Metadata.Component
		sum, err := sumOf(binary)
		if err != nil {
			t.Fatal(err)
		}
		if main.Version != "v1.2.3" || (*main.Hashes)[0].Value != sum {
			t.Errorf("%s: the binary has the version %s and the hash %s, want %s", arch, main.Version, (*main.Hashes)[0].Value, sum)
		}
		if !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(bom.SerialNumber) {
			t.Errorf("%s: serial number %s", arch, bom.SerialNumber)
		}
		if bom.Metadata.Timestamp != "2026-01-02T03:04:05Z" {
			t.Errorf("%s: time %s, want that of the commit", arch, bom.Metadata.Timestamp)
		}
		versions := map[string]string{}
		for _, c := range *bom.Components {
			versions[c.BOMRef] = c.Version
		}
		if versions["chart:istio/base@1.29.1"] != "1.29.1" {
			t.Errorf("%s: the chart is missing in %v", arch, versions)
		}
		found := map[string]bool{}
		for ref := range versions {
			for _, prefix := range []string{"pkg:golang/stdlib@1.", "pkg:golang/" + rootsModule + "@v0."} {
				found[prefix] = found[prefix] || strings.HasPrefix(ref, prefix)
			}
		}
		for prefix, ok := range found {
			if !ok {
				t.Errorf("%s: no component %s…", arch, prefix)
			}
		}
		if got := *(*bom.Dependencies)[0].Dependencies; len(got) != len(*bom.Components) {
			t.Errorf("%s: the binary needs %d of %d components", arch, len(got), len(*bom.Components))
		}
	}
}

func TestModules(t *testing.T) {
	got := modules([]*debug.Module{
		{Path: "github.com/Masterminds/semver/v3", Version: "v3.5.0", Sum: "h1:abc="},
		{Path: "example.com/old", Version: "v1.0.0", Replace: &debug.Module{Path: "example.com/new", Version: "v2.0.0+incompatible"}},
	})
	if len(got) != 2 {
		t.Fatalf("%d components", len(got))
	}
	if got[0].Name != "github.com/Masterminds/semver/v3" || got[0].PackageURL != "pkg:golang/github.com/masterminds/semver/v3@v3.5.0" {
		t.Errorf("name %s, URL %s", got[0].Name, got[0].PackageURL)
	}
	if (*got[0].Properties)[0].Value != "h1:abc=" {
		t.Errorf("properties %v", *got[0].Properties)
	}
	if got[1].PackageURL != "pkg:golang/example.com/new@v2.0.0%2Bincompatible" {
		t.Errorf("the replacement has the URL %s", got[1].PackageURL)
	}
}
