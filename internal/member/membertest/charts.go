package membertest

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshfleet/meshfleet/internal/istio/charts"
)

const (
	// Dropped is a release that an earlier operator knew, and that is not in the table.
	Dropped = "1.27.9"
	// DroppedRevision is the name of a revision of it.
	DroppedRevision = "1-27-9"
	// RenderedBy is the annotation of the Deployments of EarlierCharts. Its value is `earlier`.
	RenderedBy = "rendered-by"
)

// EarlierCharts are those of an earlier operator release, which renders Dropped by the charts of 1.28.3, and every Deployment its own way.
type EarlierCharts struct{ charts.Renderer }

// Render renders without CRDs: the fake API server does not take their schemas.
func (e EarlierCharts) Render(r charts.Request) ([]*unstructured.Unstructured, error) {
	if r.Version == Dropped {
		r.Version = "1.28.3"
	}
	objects, err := e.Renderer.Render(r)
	out := make([]*unstructured.Unstructured, 0, len(objects))
	for _, o := range objects {
		if o.GetKind() == "CustomResourceDefinition" {
			continue
		}
		if o = o.DeepCopy(); o.GetKind() == "Deployment" {
			o.SetAnnotations(map[string]string{RenderedBy: "earlier"})
		}
		out = append(out, o)
	}
	return out, err
}
