package parts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshfleet/meshfleet/internal/istio/charts"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestRenderings compares the rendering of every release with the one of the last change that was made on purpose.
func TestRenderings(t *testing.T) {
	renderings := NewRenderings(charts.NewLibrary(testutil.InRepository("bin", "charts")))
	var text strings.Builder
	for _, version := range istioversion.Supported() {
		start := time.Now()
		of, err := renderings.Of(version)
		if err != nil {
			t.Fatalf("charts missing? run `make charts`: %v", err)
		}
		t.Logf("%s took %s", version, time.Since(start))
		fmt.Fprintf(&text, "%s %s\n", version, of)
	}
	golden := filepath.Join("testdata", "TestRenderings.golden")
	if before, err := os.ReadFile(golden); err == nil && string(before) != text.String() {
		t.Logf("The objects that are rendered for the releases below have changed. With the next release of the operator every mesh is upgraded to "+
			"them: by waves, with restarts of all workloads. Is that wanted? Then rewrite %s with -update and say so in CHANGELOG.md. If a "+
			"module of Go has changed them, look for the difference with the golden files of internal/istio/charts.", golden)
	}
	testutil.Golden(t, text.String())
}

// changing renders as charts do, with an annotation on objects of a kind and a chart.
type changing struct {
	charts.Renderer
	chart, kind string
	rendered    int
}

func (c *changing) Render(r charts.Request) ([]*unstructured.Unstructured, error) {
	c.rendered++
	objects, err := c.Renderer.Render(r)
	var out []*unstructured.Unstructured
	for _, o := range objects {
		o = o.DeepCopy()
		if r.Chart == c.chart && o.GetKind() == c.kind {
			o.SetAnnotations(map[string]string{"changed": "true"})
		}
		out = append(out, o)
	}
	return out, err
}

func TestRenderingOf(t *testing.T) {
	library := charts.NewLibrary(testutil.InRepository("bin", "charts"))
	plain := &changing{Renderer: library}
	renderings := NewRenderings(plain)
	want, err := renderings.Of(testutil.Version)
	if err != nil {
		t.Fatal(err)
	}
	before := plain.rendered
	if again, err := renderings.Of(testutil.Version); err != nil || again != want || plain.rendered != before {
		t.Errorf("the second answer is %q (%v) after %d more renderings, want %q from memory", again, err, plain.rendered-before, want)
	}
	for _, c := range []changing{
		{Renderer: library, chart: charts.Istiod, kind: "Deployment"},
		{Renderer: library, chart: charts.Istiod, kind: "MutatingWebhookConfiguration"},
		{Renderer: library, chart: charts.Gateway, kind: "Deployment"},
		{Renderer: library, chart: charts.Gateway, kind: "Service"},
		{Renderer: library, chart: charts.Base, kind: "ValidatingWebhookConfiguration"},
	} {
		if got, err := NewRenderings(&c).Of(testutil.Version); err != nil || got == want {
			t.Errorf("with a changed %s of chart %s: %q (%v), want another rendering than %q", c.kind, c.chart, got, err, want)
		}
	}
	// The CRDs of all revisions are of the newest release, and are not kept.
	crds := &changing{Renderer: library, chart: charts.Base, kind: "CustomResourceDefinition"}
	if got, err := NewRenderings(crds).Of(testutil.Version); err != nil || got != want {
		t.Errorf("with changed CRDs: %q (%v), want %q", got, err, want)
	}
	if got, err := renderings.Of("1.2.3"); !errors.Is(err, charts.ErrNoChart) {
		t.Errorf("of a release that is not known: %q (%v), want ErrNoChart", got, err)
	}
}
