package images

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// repository is the root of the repository.
const repository = "../../../.."

var digest = "sha256:" + strings.Repeat("0a", 32)

func TestParse(t *testing.T) {
	cases := map[string]struct {
		want     Reference
		wantText string
	}{
		"meshfleet/meshfleet:dev":                              {Reference{"meshfleet/meshfleet", "dev", ""}, "meshfleet/meshfleet:dev"},
		"registry.example.com:5000/meshfleet@" + digest:        {Reference{"registry.example.com:5000/meshfleet", "", digest}, "registry.example.com:5000/meshfleet@" + digest},
		"registry.example.com:5000/meshfleet:v0.1.0@" + digest: {Reference{"registry.example.com:5000/meshfleet", "v0.1.0", digest}, "registry.example.com:5000/meshfleet@" + digest},
		"registry.example.com:5000/meshfleet":                  {},
		"meshfleet@sha256:abc":                                 {},
		":dev":                                                 {},
	}
	for text, c := range cases {
		got, err := Parse(text)
		if c.wantText == "" {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: error is %v, want the text in it", text, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
		if got.String() != c.wantText {
			t.Errorf("%s is written as %s", text, got)
		}
	}
}

func TestLoadRefusesWhatIsNoImage(t *testing.T) {
	cases := map[string]struct{ content, wantError string }{
		"a digest that is none": {"images: [{name: a, repository: r, tag: t, digest: sha256:12}]", "sha256:12"},
		"a name twice":          {"images: [{name: a, repository: r, tag: t}, {name: a, repository: r, tag: u}]", "twice"},
		"no tag":                {"images: [{name: a, repository: r}]", "no tag"},
		"an unknown field":      {"images: [{name: a, repository: r, tag: t, sha: x}]", "sha"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "images.yaml")
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(path); err == nil || !strings.Contains(err.Error(), c.wantError) {
				t.Errorf("error is %v, want %q in it", err, c.wantError)
			}
		})
	}
}

// TestImagesAreThoseOfThePackagedCharts wants the images of each release in hack/charts/modules.txt, with the registry and the tag that the charts
// in bin/charts name, and no others.
func TestImagesAreThoseOfThePackagedCharts(t *testing.T) {
	list, err := Load(filepath.Join("..", "..", "images.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, image := range list {
		listed[image.Name] = image.Repository + ":" + image.Tag
	}
	want := map[string]string{}
	for _, release := range packagedReleases(t) {
		hub, tag := defaultsOfChart(t, release)
		for _, name := range []string{"pilot", "proxyv2"} {
			want["istio-"+name+"-"+release] = hub + "/" + name + ":" + tag
		}
	}
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("images.yaml does not list the images of the charts (-want +got):\n%s", diff)
	}
}

func packagedReleases(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repository, "hack", "charts", "modules.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var releases []string
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); len(fields) > 0 && !strings.HasPrefix(line, "#") {
			releases = append(releases, fields[0])
		}
	}
	if len(releases) == 0 {
		t.Fatal("modules.txt has no releases")
	}
	return releases
}

// defaultsOfChart returns the registry and the tag in the values of the istiod chart, which must have one of each.
func defaultsOfChart(t *testing.T, release string) (hub, tag string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repository, "bin", "charts", release, "istiod", "values.yaml"))
	if err != nil {
		t.Fatalf("the charts are not packaged, run `make charts`: %v", err)
	}
	var values map[string]any
	if err := yaml.Unmarshal(content, &values); err != nil {
		t.Fatal(err)
	}
	only := func(key string) string {
		found := valuesOf(values, key)
		if len(found) != 1 {
			t.Fatalf("chart istiod %s: the values of %s are %q, want one", release, key, found)
		}
		return found[0]
	}
	return only("hub"), only("tag")
}

// valuesOf are the texts at all keys of a name, without empty texts and duplicates.
func valuesOf(tree any, key string) []string {
	var found []string
	switch tree := tree.(type) {
	case map[string]any:
		for name, child := range tree {
			if text, isText := child.(string); isText && name == key && text != "" {
				found = append(found, text)
			}
			found = append(found, valuesOf(child, key)...)
		}
	case []any:
		for _, child := range tree {
			found = append(found, valuesOf(child, key)...)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}
