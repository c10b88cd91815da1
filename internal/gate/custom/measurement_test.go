package custom

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/gate/gatetest"
)

// TestMeasurement lets a gate measure once a minute and tells what it says. The memory is stored in between, as it is
// when the operator restarts.
func TestMeasurement(t *testing.T) {
	for name, test := range map[string]struct {
		spec     meshv1alpha1.PrometheusGate
		readings []string
		// want are the verdicts as they change, with the second of each.
		want  []string
		count meshv1alpha1.GateMeasurements
	}{
		"passes after so many": {
			readings: []string{"0", "1", "0"}, want: []string{"0 Pending", "180 Pass"},
			count: meshv1alpha1.GateMeasurements{Taken: 5},
		},
		"fails at the first that is bad": {
			readings: []string{"0", "3"}, want: []string{"0 Pending", "120 Fail"},
			count: meshv1alpha1.GateMeasurements{Taken: 2, Bad: 1},
		},
		"bears as many as it may": {
			spec: meshv1alpha1.PrometheusGate{FailureLimit: 1}, readings: []string{"3", "0", "0", "3"},
			want: []string{"0 Pending", "180 Pass", "240 Fail"}, count: meshv1alpha1.GateMeasurements{Taken: 4, Bad: 2},
		},
		"asks again soon when there is nothing, and counts on": {
			spec: meshv1alpha1.PrometheusGate{FailureLimit: 1}, readings: []string{"3", "NaN", "NaN", "0", "parse error", "0"},
			want:  []string{"0 Pending", "120 Inconclusive", "140 Pending", "200 Error", "210 Pass"},
			count: meshv1alpha1.GateMeasurements{Taken: 4, Bad: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			next := 0
			url, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
				reading := test.readings[min(next, len(test.readings)-1)]
				next++
				if reading == "parse error" {
					text(400, `{"status":"error","errorType":"bad_data","error":"parse error"}`)(w, r)
					return
				}
				text(200, vector(reading))(w, r)
			})
			test.spec.URL, test.spec.Query, test.spec.Max = url, "q", "2"
			specs := []meshv1alpha1.Gate{{Name: "own", Prometheus: &test.spec}}
			var results []meshv1alpha1.GateResult
			var got []string
			m := customSubject()
			for second := 0; second <= 300; second += 2 {
				gates := WithTraffic(specs)
				after := gate.Evaluate(t.Context(), gates, *m, results, gatetest.Now.Add(time.Duration(second)*time.Second))
				if second == 0 || after[0].Verdict != results[0].Verdict {
					got = append(got, fmt.Sprintf("%d %s", second, after[0].Verdict))
				}
				results = after
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("verdicts (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(&test.count, results[0].Measurements); diff != "" {
				t.Errorf("count (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMeasurementIsKeptWhenThereIsNothingLeftToCompareWith lets a comparison stand that was complete, and no other.
func TestMeasurementIsKeptWhenThereIsNothingLeftToCompareWith(t *testing.T) {
	spec := &meshv1alpha1.PrometheusGate{
		GateServer: meshv1alpha1.GateServer{URL: promised(t, map[string]string{"1-29-1": vector("1")})},
		Query:      "$(revision)", Compare: meshv1alpha1.ComparisonRatio, Max: "1", Count: 2,
	}
	for taken, want := range map[int32]meshv1alpha1.Verdict{2: meshv1alpha1.VerdictPass, 1: meshv1alpha1.VerdictInconclusive} {
		verdict := map[bool]meshv1alpha1.Verdict{true: meshv1alpha1.VerdictPass, false: meshv1alpha1.VerdictPending}[taken == 2]
		before := []meshv1alpha1.GateResult{{
			Name: "own", Verdict: verdict, AskedAt: &metav1.Time{Time: gatetest.Now.Add(-time.Hour)},
			Measurements: &meshv1alpha1.GateMeasurements{Taken: taken},
		}}
		gates := Comparisons([]meshv1alpha1.Gate{{Name: "own", Prometheus: spec}, {Name: "other", Prometheus: &meshv1alpha1.PrometheusGate{}}})
		got := gate.Evaluate(t.Context(), gates, *customSubject(), before, gatetest.Now)
		if len(got) != 1 || got[0].Verdict != want || got[0].Measurements.Taken != taken || !got[0].AskedAt.Time.Equal(gatetest.Now) {
			t.Errorf("after %d measurements: %+v, want %s", taken, got, want)
		}
	}
}

// TestMeasurementStartsOver wants as many measurements again, with what was bad before.
func TestMeasurementStartsOver(t *testing.T) {
	spec := &meshv1alpha1.PrometheusGate{
		GateServer: meshv1alpha1.GateServer{URL: promised(t, map[string]string{"q": vector("2")})}, Query: "q", Max: "1", FailureLimit: 1,
	}
	specs := []meshv1alpha1.Gate{
		{Name: "own", Prometheus: spec}, {Name: "ratio", Prometheus: &meshv1alpha1.PrometheusGate{Compare: meshv1alpha1.ComparisonRatio}},
	}
	passed := func(name string, m *meshv1alpha1.GateMeasurements) meshv1alpha1.GateResult {
		return meshv1alpha1.GateResult{Name: name, Verdict: meshv1alpha1.VerdictPass, Measurements: m, AskedAt: &metav1.Time{Time: gatetest.Now}}
	}
	results := gate.StartOver([]meshv1alpha1.GateResult{
		passed("ConfigAccepted", nil), passed("own", &meshv1alpha1.GateMeasurements{Taken: 3, Bad: 1}), passed("ratio", &meshv1alpha1.GateMeasurements{Taken: 3}),
	}, specs, gatetest.Now)
	if results[0].Verdict != meshv1alpha1.VerdictPass || results[1].Verdict != meshv1alpha1.VerdictPending || results[2].Measurements.Taken != 3 {
		t.Fatalf("after a new start: %+v", results)
	}
	for _, step := range []struct {
		after time.Duration
		want  meshv1alpha1.Verdict
		count meshv1alpha1.GateMeasurements
	}{
		{time.Hour, meshv1alpha1.VerdictPending, meshv1alpha1.GateMeasurements{Bad: 1}},
		{time.Hour + time.Minute, meshv1alpha1.VerdictFail, meshv1alpha1.GateMeasurements{Taken: 1, Bad: 2}},
	} {
		results = gate.Evaluate(t.Context(), WithTraffic(specs[:1]), *customSubject(), results, gatetest.Now.Add(step.after))
		if results[0].Verdict != step.want || *results[0].Measurements != step.count {
			t.Errorf("after %s: %+v, want %s with %+v", step.after, results[0], step.want, step.count)
		}
	}
}
