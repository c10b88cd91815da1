package custom

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
)

// TestMeasurementsNeedTraffic wants webhooks everywhere, and measurements only where there is traffic.
func TestMeasurementsNeedTraffic(t *testing.T) {
	specs := []meshv1alpha1.Gate{
		{Name: "hook", Webhook: &meshv1alpha1.WebhookGate{}}, {Name: "slo", Prometheus: &meshv1alpha1.PrometheusGate{}}, {Name: "ConfigValid"},
	}
	for name, test := range map[string]struct {
		gates []gate.Gate
		want  []string
	}{
		"before traffic": {BeforeTraffic(specs), []string{"hook"}},
		"with traffic":   {WithTraffic(specs), []string{"hook", "slo"}},
	} {
		var got []string
		for _, g := range test.gates {
			got = append(got, g.Name())
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
