// Package charts renders Istio's official Helm charts. It is the only package that knows Helm: everything else gets
// plain objects. Nothing is installed through Helm, so there is no release record and no lock.
package charts

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
)

// Names of the charts.
const (
	Base    = "base"
	Istiod  = "istiod"
	Gateway = "gateway"
)

// ErrNoChart says that the library has no chart of that version.
var ErrNoChart = errors.New("chart not in the library")

// Library is a directory of charts, `<version>/<chart>/`, as `make charts` writes it.
type Library struct {
	dir string

	mu       sync.Mutex
	charts   map[string]*chart.Chart
	rendered map[[sha256.Size]byte][]*unstructured.Unstructured
}

// keep bounds how many renderings are kept. Members that differ only in name have renderings of their own; what is
// dropped is rendered again, which takes some 50 ms.
const keep = 512

// NewLibrary opens the library in dir. Charts are read when first needed and kept: they are about 2 MB each.
func NewLibrary(dir string) *Library {
	return &Library{dir: dir, charts: map[string]*chart.Chart{}, rendered: map[[sha256.Size]byte][]*unstructured.Unstructured{}}
}

// Request says what to render.
type Request struct {
	// Version is the Istio release.
	Version string
	// Chart is one of Base, Istiod and Gateway.
	Chart string
	// Release is the release name that templates see.
	Release string
	// Namespace is the release's namespace; namespaced objects get it when they name none.
	Namespace string
	// Values are merged over the chart's defaults.
	Values map[string]any
}

// Render renders a chart into objects in the order of the templates' names, prepared for server-side apply: see
// prepare. The same request gives the same objects, which callers must not change. Errors: ErrNoChart when the version
// is missing; otherwise what the chart said of the values.
func (l *Library) Render(r Request) ([]*unstructured.Unstructured, error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("values of chart %s %s: %w", r.Chart, r.Version, err)
	}
	key := sha256.Sum256(raw)
	l.mu.Lock()
	objects, ok := l.rendered[key]
	l.mu.Unlock()
	if ok {
		return objects, nil
	}
	if objects, err = l.render(r); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rendered) >= keep {
		clear(l.rendered)
	}
	l.rendered[key] = objects
	return objects, nil
}

func (l *Library) render(r Request) ([]*unstructured.Unstructured, error) {
	c, err := l.load(r.Version, r.Chart)
	if err != nil {
		return nil, err
	}
	values, err := chartutil.ToRenderValues(c, r.Values, chartutil.ReleaseOptions{
		Name: r.Release, Namespace: r.Namespace, Revision: 1, IsInstall: true,
	}, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, fmt.Errorf("values of chart %s %s: %w", r.Chart, r.Version, err)
	}
	files, err := engine.Render(c, values)
	if err != nil {
		return nil, fmt.Errorf("render chart %s %s: %w", r.Chart, r.Version, err)
	}
	objects, err := parse(files)
	if err != nil {
		return nil, fmt.Errorf("read chart %s %s: %w", r.Chart, r.Version, err)
	}
	for _, o := range objects {
		if err := prepare(o, r.Namespace); err != nil {
			return nil, fmt.Errorf("prepare %s %s of chart %s %s: %w", o.GetKind(), o.GetName(), r.Chart, r.Version, err)
		}
	}
	return objects, nil
}

// load reads a chart once. Charts on disk do not change while the operator runs: they are part of its image.
func (l *Library) load(version, name string) (*chart.Chart, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := version + "/" + name
	if c, ok := l.charts[key]; ok {
		return c, nil
	}
	if _, isKnown := istioversion.Packaged().Lookup(version); !isKnown {
		return nil, fmt.Errorf("%s %s: %w", name, version, ErrNoChart)
	}
	// The version comes from users: it must not lead out of the library.
	dir := filepath.Join(l.dir, filepath.Base(version), name)
	if _, err := os.Stat(filepath.Join(dir, "Chart.yaml")); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s %s: %w", name, version, ErrNoChart)
	}
	c, err := loader.Load(dir)
	if err != nil {
		return nil, fmt.Errorf("load chart %s %s: %w", name, version, err)
	}
	l.charts[key] = c
	return c, nil
}

func parse(files map[string]string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, name := range sortedKeys(files) {
		if strings.HasSuffix(name, "NOTES.txt") || strings.HasPrefix(filepath.Base(name), "_") {
			continue
		}
		for _, doc := range splitDocuments(files[name]) {
			o := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(doc), &o.Object); err != nil {
				return nil, fmt.Errorf("template %s: %w", name, err)
			}
			if len(o.Object) == 0 {
				continue
			}
			if o.GetKind() == "" || o.GetName() == "" {
				return nil, fmt.Errorf("template %s: an object without kind or name", name)
			}
			objects = append(objects, o)
		}
	}
	return objects, nil
}
