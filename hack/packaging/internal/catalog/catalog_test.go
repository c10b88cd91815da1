package catalog

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/blang/semver/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/operator-framework/operator-registry/alpha/declcfg"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/bundle"
	"github.com/meshfleet/meshfleet/hack/packaging/internal/releases"
)

// repository is the root of the repository.
const repository = "../../../.."

var digest = "sha256:" + strings.Repeat("c", 64)

// bundleOf writes a bundle of a version.
func bundleOf(t *testing.T, version string, history *releases.History) string {
	t.Helper()
	b, err := bundle.Build(bundle.Options{Root: repository, Version: semver.MustParse(version), History: history})
	must(t, err)
	dir := t.TempDir()
	must(t, b.Write(dir))
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// edges are the entries of each channel: name, what it replaces, what it skips.
func edges(config *declcfg.DeclarativeConfig) map[string][][3]string {
	got := map[string][][3]string{}
	for _, c := range config.Channels {
		for _, e := range c.Entries {
			got[c.Name] = append(got[c.Name], [3]string{e.Name, e.Replaces, e.SkipRange})
		}
	}
	return got
}

func TestOneVersionIsInBothChannels(t *testing.T) {
	history := &releases.History{UpgradableFrom: "0.1.0"}
	config, err := Build(history, []Bundle{{Dir: bundleOf(t, "0.1.0", history)}})
	must(t, err)
	only := [][3]string{{"meshfleet.v0.1.0", "", ""}}
	if diff := cmp.Diff(map[string][][3]string{"candidate": only, "stable": only}, edges(config)); diff != "" {
		t.Errorf("channels (-want +got):\n%s", diff)
	}
	p := config.Packages[0]
	if p.Name != "meshfleet" || p.DefaultChannel != "stable" || p.Icon.MediaType != "image/svg+xml" || !strings.HasPrefix(string(p.Icon.Data), "<svg") {
		t.Errorf("package %s has the default channel %s and the icon %.20s", p.Name, p.DefaultChannel, p.Icon.Data)
	}
	if got := config.Bundles[0].Image; got != "meshfleet/meshfleet-bundle:v0.1.0" {
		t.Errorf("the bundle has the image %s", got)
	}
}

// TestUpgradeEdges publishes one version and builds two more.
func TestUpgradeEdges(t *testing.T) {
	history := &releases.History{UpgradableFrom: "0.1.0"}
	first, err := Build(history, []Bundle{{Dir: bundleOf(t, "0.1.0", history), Image: "registry.example.com/bundle@" + digest}})
	must(t, err)
	published := filepath.Join(t.TempDir(), "catalog")
	must(t, Write(first, published))
	history.Released = []releases.Release{{Version: "0.1.0", Bundle: filepath.Join(published, "meshfleet", "0.1.0.yaml")}}

	config, err := Build(history, []Bundle{{Dir: bundleOf(t, "0.2.0", history)}, {Dir: bundleOf(t, "0.2.0-rc.1", history)}})
	must(t, err)
	want := map[string][][3]string{
		"candidate": {
			{"meshfleet.v0.1.0", "", ""},
			{"meshfleet.v0.2.0-rc.1", "meshfleet.v0.1.0", ">=0.1.0 <0.2.0-rc.1"},
			{"meshfleet.v0.2.0", "meshfleet.v0.2.0-rc.1", ">=0.1.0 <0.2.0"},
		},
		"stable": {
			{"meshfleet.v0.1.0", "", ""},
			{"meshfleet.v0.2.0", "meshfleet.v0.1.0", ">=0.1.0 <0.2.0"},
		},
	}
	if diff := cmp.Diff(want, edges(config)); diff != "" {
		t.Errorf("channels (-want +got):\n%s", diff)
	}
	if got := config.Bundles[0].Image; got != "registry.example.com/bundle@"+digest {
		t.Errorf("the published bundle has the image %s", got)
	}
	dir := filepath.Join(t.TempDir(), "catalog")
	must(t, Write(config, dir))
	must(t, Check(t.Context(), dir))
}

func TestAReleaseCandidateAloneIsTheDefault(t *testing.T) {
	history := &releases.History{UpgradableFrom: "0.1.0"}
	config, err := Build(history, []Bundle{{Dir: bundleOf(t, "0.1.0-rc.1", history)}})
	must(t, err)
	if len(config.Channels) != 1 || config.Packages[0].DefaultChannel != "candidate" {
		t.Errorf("channels are %+v, the default is %s", config.Channels, config.Packages[0].DefaultChannel)
	}
}

// TestRelatedImagesAreComplete wants what a mirror needs: bundle and operator, even if they have no digest.
func TestRelatedImagesAreComplete(t *testing.T) {
	history := &releases.History{UpgradableFrom: "0.1.0"}
	config, err := Build(history, []Bundle{{Dir: bundleOf(t, "0.1.0", history)}})
	must(t, err)
	got := map[string]bool{}
	for _, image := range config.Bundles[0].RelatedImages {
		got[image.Image] = true
	}
	if !got["meshfleet/meshfleet-bundle:v0.1.0"] || !got["meshfleet/meshfleet:dev"] {
		t.Errorf("related images are %v", got)
	}
}

func TestPropertiesNameTheKinds(t *testing.T) {
	history := &releases.History{UpgradableFrom: "0.1.0"}
	config, err := Build(history, []Bundle{{Dir: bundleOf(t, "0.1.0", history)}})
	must(t, err)
	types := map[string]int{}
	for _, p := range config.Bundles[0].Properties {
		types[p.Type]++
		if p.Type != "olm.csv.metadata" {
			continue
		}
		var metadata struct {
			Annotations map[string]string `json:"annotations"`
			NativeAPIs  []map[string]any  `json:"nativeAPIs"`
		}
		must(t, json.Unmarshal(p.Value, &metadata))
		if metadata.Annotations["capabilities"] == "" || len(metadata.NativeAPIs) != 2 {
			t.Errorf("metadata is %+v", metadata)
		}
	}
	// No olm.gvk.required: cert-manager may come from anywhere.
	if diff := cmp.Diff(map[string]int{"olm.package": 1, "olm.gvk": 4, "olm.csv.metadata": 1}, types); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
}

func TestBuildRefuses(t *testing.T) {
	history := &releases.History{UpgradableFrom: "0.1.0"}
	dir := bundleOf(t, "0.1.0", history)
	other := filepath.Join(t.TempDir(), "other.yaml")
	must(t, os.WriteFile(other, []byte("---\nschema: olm.bundle\nname: meshfleet.v0.0.9\npackage: meshfleet\n"), 0o600))
	cases := map[string]struct {
		history releases.History
		bundles []Bundle
		want    string
	}{
		"no bundle":                   {releases.History{UpgradableFrom: "0.1.0"}, nil, "name a bundle"},
		"a version twice":             {releases.History{UpgradableFrom: "0.1.0"}, []Bundle{{Dir: dir}, {Dir: dir}}, "duplicate"},
		"an image without a tag":      {releases.History{UpgradableFrom: "0.1.0"}, []Bundle{{Dir: dir, Image: "bundle"}}, `image "bundle"`},
		"the wrong file of a release": {releases.History{UpgradableFrom: "0.0.1", Released: []releases.Release{{Version: "0.0.8", Bundle: other}}}, []Bundle{{Dir: dir}}, "meshfleet.v0.0.8"},
		"no directory":                {releases.History{UpgradableFrom: "0.1.0"}, []Bundle{{Dir: t.TempDir()}}, "csv"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := Build(&c.history, c.bundles); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestWriteRemovesVersionsThatAreGone(t *testing.T) {
	history := &releases.History{UpgradableFrom: "0.1.0"}
	dir := filepath.Join(t.TempDir(), "catalog")
	for _, version := range []string{"0.1.0", "0.2.0"} {
		config, err := Build(history, []Bundle{{Dir: bundleOf(t, version, history)}})
		must(t, err)
		must(t, Write(config, dir))
	}
	paths, err := filepath.Glob(filepath.Join(dir, "meshfleet", "*.yaml"))
	must(t, err)
	var names []string
	for _, path := range paths {
		names = append(names, filepath.Base(path))
	}
	if diff := cmp.Diff([]string{"0.2.0.yaml", "package.yaml"}, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	content, err := os.ReadFile(dir + ".Dockerfile")
	must(t, err)
	if !strings.Contains(string(content), "COPY catalog /configs\n") {
		t.Errorf("the Dockerfile is\n%s", content)
	}
}

func TestCheckFindsAChannelWithoutItsBundle(t *testing.T) {
	history := &releases.History{UpgradableFrom: "0.1.0"}
	config, err := Build(history, []Bundle{{Dir: bundleOf(t, "0.1.0", history)}})
	must(t, err)
	config.Bundles = nil
	dir := filepath.Join(t.TempDir(), "catalog")
	must(t, Write(config, dir))
	if err := Check(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "meshfleet.v0.1.0") {
		t.Errorf("error is %v, want the bundle in it", err)
	}
}
