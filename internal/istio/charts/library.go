// Package charts renders Istio's official Helm charts. It is the only package that knows Helm: everything else gets
// plain objects. Nothing is installed through Helm, so there is no release record and no lock.
package charts

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

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

// ErrNoChart says that the library has no such chart.
var ErrNoChart = errors.New("chart not in the library")

// ErrUnreadable says that a chart which was fetched cannot be read from the hub now.
var ErrUnreadable = errors.New("chart cannot be read now")

// IsUnavailable reports whether an error is that a chart is missing, or cannot be read now: nothing is known of its content.
func IsUnavailable(err error) bool {
	return errors.Is(err, ErrNoChart) || errors.Is(err, ErrUnreadable)
}

// Library has the charts of the operator's image, a directory `<version>/<chart>/` as `make charts` writes it, and those that were fetched.
type Library struct {
	dir      string
	archives Archives

	mu       sync.Mutex
	charts   map[Ref]*chart.Chart
	rendered map[[sha256.Size]byte][]*unstructured.Unstructured
}

// Archives has charts that were fetched.
type Archives interface {
	// Archive is the packaged chart of a digest, whose content is not trusted. Error: ErrNoChart when it is not there.
	Archive(ctx context.Context, digest string) ([]byte, error)
}

// archiveDeadline bounds how long a rendering waits for a chart that was fetched.
const archiveDeadline = 15 * time.Second

// Ref identifies a chart.
type Ref struct {
	// Chart is one of Base, Istiod and Gateway.
	Chart string
	// Version is the Istio release.
	Version string
	// Digest is that of the packaged chart, see DigestOf. Empty: the chart is in the operator's image.
	Digest string
}

// DigestOf is the digest of a packaged chart: `sha256:` and its SHA-256 in hex.
func DigestOf(archive []byte) string {
	sum := sha256.Sum256(archive)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// keep bounds how many renderings are kept. Members that differ only in name have renderings of their own; what is
// dropped is rendered again, which takes some 50 ms.
const keep = 512

// maxCharts bounds how many charts are kept in memory.
const maxCharts = 64

// NewLibrary opens the library in dir. Charts are read when first needed and kept: they are about 2 MB each.
func NewLibrary(dir string) *Library {
	return &Library{dir: dir, charts: map[Ref]*chart.Chart{}, rendered: map[[sha256.Size]byte][]*unstructured.Unstructured{}}
}

// WithArchives adds charts that were fetched. It is called before the first use.
func (l *Library) WithArchives(a Archives) *Library {
	l.archives = a
	return l
}

// Request says what to render.
type Request struct {
	// Version is the Istio release.
	Version string
	// Chart is one of Base, Istiod and Gateway.
	Chart string
	// Digest is Ref.Digest.
	Digest string
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
	c, err := l.load(Ref{Chart: r.Chart, Version: r.Version, Digest: r.Digest})
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

// load reads a chart once. Charts do not change while the operator runs: they are part of its image, or known by their digest.
func (l *Library) load(r Ref) (*chart.Chart, error) {
	l.mu.Lock()
	c, isKnown := l.charts[r]
	l.mu.Unlock()
	if isKnown {
		return c, nil
	}
	read := l.packaged
	if r.Digest != "" {
		read = l.fetched
	}
	c, err := read(r)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.charts) >= maxCharts {
		clear(l.charts)
	}
	l.charts[r] = c
	return c, nil
}

// packaged reads a chart of the operator's image.
func (l *Library) packaged(r Ref) (*chart.Chart, error) {
	if _, isKnown := istioversion.Packaged().Lookup(r.Version); !isKnown {
		return nil, fmt.Errorf("%s %s: %w", r.Chart, r.Version, ErrNoChart)
	}
	// The version comes from users: it must not lead out of the library.
	dir := filepath.Join(l.dir, filepath.Base(r.Version), r.Chart)
	if _, err := os.Stat(filepath.Join(dir, "Chart.yaml")); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s %s: %w", r.Chart, r.Version, ErrNoChart)
	}
	c, err := loader.Load(dir)
	if err != nil {
		return nil, fmt.Errorf("load chart %s %s: %w", r.Chart, r.Version, err)
	}
	return c, nil
}

// fetched reads a chart that was fetched, and proves that it is the one.
func (l *Library) fetched(r Ref) (*chart.Chart, error) {
	if l.archives == nil {
		return nil, fmt.Errorf("%s %s with digest %s: %w", r.Chart, r.Version, r.Digest, ErrNoChart)
	}
	ctx, cancel := context.WithTimeout(context.Background(), archiveDeadline)
	defer cancel()
	data, err := l.archives.Archive(ctx, r.Digest)
	if err != nil && !errors.Is(err, ErrNoChart) {
		err = errors.Join(ErrUnreadable, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s with digest %s: %w", r.Chart, r.Version, r.Digest, err)
	}
	if have := DigestOf(data); have != r.Digest {
		return nil, fmt.Errorf("%s %s: what is kept on the hub has the digest %s in place of %s: %w", r.Chart, r.Version, have, r.Digest, ErrNoChart)
	}
	c, err := loader.LoadArchive(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("load chart %s %s with digest %s: %w", r.Chart, r.Version, r.Digest, err)
	}
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
