package gate

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

func TestRemember(t *testing.T) {
	counted := &meshv1alpha1.GateMeasurements{Taken: 1}
	got := Remember([]meshv1alpha1.GateResult{{Name: "b", Verdict: meshv1alpha1.VerdictPass}}, []meshv1alpha1.GateResult{
		{Name: "c", Measurements: counted}, {Name: "b", Measurements: counted}, {Name: "a", Measurements: counted}, {Name: "d"},
	})
	want := []meshv1alpha1.GateResult{{Name: "a", Measurements: counted}, {Name: "b", Verdict: meshv1alpha1.VerdictPass}, {Name: "c", Measurements: counted}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Remember (-want +got):\n%s", diff)
	}
}

// TestStartOver keeps what was bad, and comparisons.
func TestStartOver(t *testing.T) {
	specs := []meshv1alpha1.Gate{
		{Name: "own", Prometheus: &meshv1alpha1.PrometheusGate{}},
		{Name: "ratio", Prometheus: &meshv1alpha1.PrometheusGate{Compare: meshv1alpha1.ComparisonRatio}},
	}
	passed := func(name string, m *meshv1alpha1.GateMeasurements) meshv1alpha1.GateResult {
		return meshv1alpha1.GateResult{Name: name, Verdict: meshv1alpha1.VerdictPass, Measurements: m, AskedAt: &metav1.Time{Time: now}}
	}
	before := []meshv1alpha1.GateResult{
		passed("ConfigAccepted", nil), passed("own", &meshv1alpha1.GateMeasurements{Taken: 3, Bad: 1}), passed("ratio", &meshv1alpha1.GateMeasurements{Taken: 3}),
	}
	want := []meshv1alpha1.GateResult{before[0], {
		Name: "own", Verdict: meshv1alpha1.VerdictPending, Message: "more workloads are being moved",
		Measurements: &meshv1alpha1.GateMeasurements{Bad: 1}, Since: metav1.NewTime(now.Add(time.Hour)),
	}, before[2]}
	if diff := cmp.Diff(want, StartOver(before, specs, now.Add(time.Hour))); diff != "" {
		t.Errorf("StartOver (-want +got):\n%s", diff)
	}
}
