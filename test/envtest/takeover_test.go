package envtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/istio/charts"
)

// otherCharts are those of another release of the operator: every Deployment is rendered differently, and one Istio release is not known.
type otherCharts struct {
	charts.Renderer
	unknown string
}

func (o otherCharts) Render(r charts.Request) ([]*unstructured.Unstructured, error) {
	if r.Version == o.unknown {
		return nil, fmt.Errorf("%s %s: %w", r.Chart, r.Version, charts.ErrNoChart)
	}
	rendered, err := o.Renderer.Render(r)
	out := make([]*unstructured.Unstructured, 0, len(rendered))
	for _, object := range rendered {
		if object.GetKind() == "Deployment" {
			object = object.DeepCopy()
			if err := unstructured.SetNestedField(object.Object, "other", "spec", "template", "metadata", "annotations", "example.com/rendered-by"); err != nil {
				return nil, err
			}
		}
		out = append(out, object)
	}
	return out, err
}

// takeOver stops the operator and runs one that renders with other charts.
func (s *suite) takeOver(t *testing.T, by charts.Renderer) (since time.Time) {
	t.Helper()
	s.awaitCalm(t)
	since = time.Now()
	s.operator.stop(t)
	s.charts = by
	s.operator = s.startOperator(t)
	return since
}

// rendersDifferently wants an operator that renders the charts differently to write nothing: what serves keeps its rendering.
func (s *suite) rendersDifferently(t *testing.T) {
	s.staysQuiet(t, s.takeOver(t, otherCharts{Renderer: charts.NewLibrary(chartsDir)}))
	s.awaitReady(t, both...)
}

// doesNotKnow wants an operator that does not know the release of the mesh to write nothing. It stays, and does what the next parts of the
// story ask for.
func (s *suite) doesNotKnow(t *testing.T) {
	s.staysQuiet(t, s.takeOver(t, otherCharts{Renderer: charts.NewLibrary(chartsDir), unknown: version}))
	s.awaitReady(t, both...)
}

// knowsAgain ends that.
func (s *suite) knowsAgain(t *testing.T) {
	s.takeOver(t, charts.NewLibrary(chartsDir))
	s.awaitReady(t, both...)
}

// changeOfUnknown upgrades a mesh whose release the operator does not know, and goes back.
func (s *suite) changeOfUnknown(t *testing.T) {
	s.takeOver(t, otherCharts{Renderer: charts.NewLibrary(chartsDir), unknown: version})
	s.change(t)
	s.knowsAgain(t)
	// The operator before could not render what peers of that release may read, and kept what the upgrade had granted.
	for _, name := range both {
		await(t, "peers may read "+name+" as "+version+" does", func(ctx context.Context) error {
			role := &rbacv1.ClusterRole{}
			err := s.members[name].admin.Get(ctx, client.ObjectKey{Name: "istio-reader-clusterrole-" + controlPlaneNamespace}, role)
			if got := role.Labels["app.kubernetes.io/version"]; err == nil && got != version {
				err = fmt.Errorf("it is of %s", got)
			}
			return err
		})
	}
}
