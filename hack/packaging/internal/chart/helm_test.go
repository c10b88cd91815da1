package chart

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/manifests"
)

// repository is the root of the repository.
const repository = "../../../.."

func sourcesOf(t *testing.T) Sources {
	t.Helper()
	sources, err := Read(repository)
	if err != nil {
		t.Fatal(err)
	}
	return sources
}

func filesOf(t *testing.T, release Release) map[string][]byte {
	t.Helper()
	files, err := Files(sourcesOf(t), release)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// load reads files as Helm reads a chart.
func load(t *testing.T, files map[string][]byte) *helmchart.Chart {
	t.Helper()
	var buffered []*loader.BufferedFile
	for _, name := range slices.Sorted(maps.Keys(files)) {
		buffered = append(buffered, &loader.BufferedFile{Name: name, Data: files[name]})
	}
	c, err := loader.LoadFiles(buffered)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// renderer is a chart and where it is installed.
type renderer struct {
	chart           *helmchart.Chart
	name, namespace string
}

// standard is the chart of the tree, installed as the documentation describes.
func standard(t *testing.T) renderer {
	t.Helper()
	return renderer{chart: load(t, filesOf(t, Release{})), name: "meshfleet", namespace: "meshfleet-system"}
}

// files renders the chart with values as `helm template` does. The later values win.
func (r renderer) files(values ...string) (map[string]string, error) {
	merged := map[string]any{}
	for _, text := range values {
		read, err := chartutil.ReadValues([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("values %q: %w", text, err)
		}
		// The first argument wins.
		merged = chartutil.CoalesceTables(read, merged)
	}
	options := chartutil.ReleaseOptions{Name: r.name, Namespace: r.namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(r.chart, merged, options, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(r.chart, all)
}

// text renders the manifests as one text.
func (r renderer) text(values ...string) (string, error) {
	files, err := r.files(values...)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".yaml") {
			out.WriteString("---\n" + files[name] + "\n")
		}
	}
	return out.String(), nil
}

// objects renders the manifests as objects by their kinds and names.
func (r renderer) objects(t *testing.T, values ...string) map[string]*unstructured.Unstructured {
	t.Helper()
	text, err := r.text(values...)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := manifests.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return byName(t, objects)
}

func byName(t *testing.T, objects []*unstructured.Unstructured) map[string]*unstructured.Unstructured {
	t.Helper()
	all := map[string]*unstructured.Unstructured{}
	for _, u := range objects {
		key := u.GetKind() + " " + u.GetName()
		if all[key] != nil {
			t.Errorf("there are two of %s", key)
		}
		all[key] = u
	}
	return all
}
