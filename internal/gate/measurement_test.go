package gate

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// promised answers queries from a table of results; a query that is not in it has an empty result.
func promised(t *testing.T, results map[string]string) string {
	t.Helper()
	url, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/tenant/api/v1/query" || r.FormValue("time") != "" {
			t.Errorf("asked %s with %v", r.URL, r.Form)
		}
		result, ok := results[r.FormValue("query")]
		if !ok {
			result = vector()
		}
		if strings.HasPrefix(result, "{") {
			text(200, result)(w, r)
		} else {
			text(422, `{"status":"error","errorType":"execution","error":"`+result+`"}`)(w, r)
		}
	})
	return url + "/tenant/"
}

func vector(values ...string) string {
	var all []string
	for i, v := range values {
		all = append(all, fmt.Sprintf(`{"metric":{"app":"app-%d"},"value":[1,%q]}`, i, v))
	}
	return `{"status":"success","data":{"resultType":"vector","result":[` + strings.Join(all, ",") + `]}}`
}

func TestRead(t *testing.T) {
	scalar := `{"status":"success","data":{"resultType":"scalar","result":[1,"0.5"]}}`
	matrix := `{"status":"success","data":{"resultType":"matrix","result":[]}}`
	histogram := `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"app":"a"},"histogram":[1,{"count":"3","sum":"1","buckets":[]}]}]}}`
	warned := `{"status":"success","warnings":["store west is away"],"data":{"resultType":"scalar","result":[1,"0"]}}`
	type results = map[string]string
	atMost := meshv1alpha1.PrometheusGate{Query: "q", Max: "0.5"}
	enough := meshv1alpha1.PrometheusGate{Query: "q", Max: "0.5", Samples: &meshv1alpha1.GateSamples{Query: "n", Min: "100"}}
	compare := func(how meshv1alpha1.Comparison) meshv1alpha1.PrometheusGate {
		return meshv1alpha1.PrometheusGate{Query: "$(revision)", Max: "1.2", Compare: how}
	}
	for name, test := range map[string]struct {
		spec    meshv1alpha1.PrometheusGate
		results results
		value   float64
		good    bool
		what    string
		why     string
		fails   string
	}{
		"a scalar within its bound":            {spec: atMost, results: results{"q": scalar}, value: 0.5, good: true},
		"a series out of bounds":               {spec: atMost, results: results{"q": vector("0.51")}, value: 0.51},
		"the worst of several":                 {spec: atMost, results: results{"q": vector("0.1", "0.7", "0.6")}, value: 0.7, what: `of 3 series {app="app-1"} `},
		"too low is as bad as too high":        {spec: meshv1alpha1.PrometheusGate{Query: "q", Min: "1", Max: "2"}, results: results{"q": vector("2.5", "0.4")}, value: 0.4, what: `of 2 series {app="app-1"} `},
		"at least":                             {spec: meshv1alpha1.PrometheusGate{Query: "q", Min: "0.99"}, results: results{"q": vector("1")}, value: 1, good: true},
		"nothing":                              {spec: atMost, results: results{}, why: "no number: the result is empty"},
		"no number":                            {spec: atMost, results: results{"q": vector("0", "NaN")}, why: `NaN {app="app-1"}`},
		"a part of the data":                   {spec: atMost, results: results{"q": warned}, why: "store west is away"},
		"a range":                              {spec: atMost, results: results{"q": matrix}, fails: "gives a matrix"},
		"a histogram":                          {spec: atMost, results: results{"q": histogram}, fails: `gives a histogram ({app="a"})`},
		"a query that cannot be parsed":        {spec: atMost, results: results{"q": "parse error"}, fails: "parse error"},
		"no Prometheus":                        {spec: atMost, results: results{"q": `{}`}, fails: "query Prometheus"},
		"too few samples":                      {spec: enough, results: results{"q": scalar, "n": vector("60", "39")}, why: "99 samples, at least 100 are needed"},
		"no samples":                           {spec: enough, results: results{"q": scalar}, why: "samples: no number"},
		"enough samples":                       {spec: enough, results: results{"q": scalar, "n": vector("60", "40")}, value: 0.5, good: true},
		"a ratio":                              {spec: compare("Ratio"), results: results{"1-28-3": vector("2"), "1-29-1": vector("3")}, value: 1.5, what: "3 now and 2 before: ratio "},
		"a ratio of nothing to nothing":        {spec: compare("Ratio"), results: results{"1-28-3": vector("0"), "1-29-1": vector("0")}, value: 1, good: true, what: "0 now and 0 before: ratio "},
		"a difference":                         {spec: compare("Difference"), results: results{"1-28-3": vector("2"), "1-29-1": vector("3")}, value: 1, good: true, what: "3 now and 2 before: difference "},
		"nothing to compare with":              {spec: compare("Ratio"), results: results{"1-29-1": vector("3")}, why: "nothing to compare with, of revision 1-28-3"},
		"nothing to compare":                   {spec: compare("Ratio"), results: results{"1-28-3": vector("3")}, why: "no number: the result is empty"},
		"several series cannot be compared":    {spec: compare("Ratio"), results: results{"1-28-3": vector("3", "4"), "1-29-1": vector("3")}, fails: "2 series of revision 1-28-3"},
		"infinities cannot be compared either": {spec: compare("Difference"), results: results{"1-28-3": vector("+Inf"), "1-29-1": vector("+Inf")}, why: "+Inf and +Inf cannot be compared"},
	} {
		t.Run(name, func(t *testing.T) {
			test.spec.URL = promised(t, test.results)
			limits, err := newBounds(test.spec.Min, test.spec.Max)
			if err != nil {
				t.Fatal(err)
			}
			got, err := read(t.Context(), askingMember(), &test.spec, limits)
			if test.fails != "" {
				if err == nil || !strings.Contains(err.Error(), test.fails) {
					t.Errorf("error is %v, want %q", err, test.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if test.why != "" {
				if !strings.Contains(got.why, test.why) {
					t.Errorf("the reading is %+v, want none because of %q", got, test.why)
				}
				return
			}
			if got.why != "" || got.value != test.value || got.what != test.what || limits.hold(got.value) != test.good {
				t.Errorf("the reading is %+v, good: %t, want %v of %q, good: %t", got, limits.hold(got.value), test.value, test.what, test.good)
			}
		})
	}
}

// TestReadFailsWithoutAServer wants an error, and no URL in it, which may have a secret.
func TestReadFailsWithoutAServer(t *testing.T) {
	spec := &meshv1alpha1.PrometheusGate{Query: "q", Max: "1", GateServer: meshv1alpha1.GateServer{URL: "http://127.0.0.1:1/?key=s3cret"}}
	_, err := read(t.Context(), askingMember(), spec, bounds{})
	if err == nil || !strings.Contains(err.Error(), "the server was not reached") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error is %v", err)
	}
}

func TestFill(t *testing.T) {
	m := askingMember()
	m.Client = fake.NewClientBuilder().WithLists(&corev1.PodList{Items: []corev1.Pod{
		proxied("web-1.a", "1-29-1"), proxied("api-1", "1-29-1"), proxied("api-0", "1-28-3"),
	}}).Build()
	got, err := fill(t.Context(), m, `a{m="$(member)",n="$(namespace)",f="$(from)",t="$(to)",r="$(revision)",v="$(version)",p=~"$(pods)"}`, "1-29-1", "1.29.1")
	want := `a{m="east",n="istio-system",f="1-28-3",t="1-29-1",r="1-29-1",v="1.29.1",p=~"api-1|web-1[.]a"}`
	if err != nil || got != want {
		t.Errorf("fill = %s, %v, want %s", got, err, want)
	}
	spec := &meshv1alpha1.PrometheusGate{
		GateServer: meshv1alpha1.GateServer{URL: promised(t, nil)}, Query: `p="$(pods)"`, Max: "1", Compare: meshv1alpha1.ComparisonRatio,
	}
	m.From = "1-27-0"
	r, err := read(t.Context(), m, spec, bounds{})
	if err != nil || !r.isOver || !strings.Contains(r.why, "no pod has a proxy of the revision 1-27-0") {
		t.Errorf("without pods to compare with: %+v, %v", r, err)
	}
}

func proxied(name, revision string) corev1.Pod {
	return corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: name, Namespace: "shop", Labels: map[string]string{injectedLabel: name}, Annotations: map[string]string{revisionAnnotation: revision},
	}}
}

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
			m := askingMember()
			for second := 0; second <= 300; second += 2 {
				gates := Configure(nil, specs, meshv1alpha1.StageSoak)
				after := Evaluate(t.Context(), gates, *m, results, now.Add(time.Duration(second)*time.Second))
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
			Name: "own", Verdict: verdict, AskedAt: &metav1.Time{Time: now.Add(-time.Hour)},
			Measurements: &meshv1alpha1.GateMeasurements{Taken: taken},
		}}
		gates := comparisons([]meshv1alpha1.Gate{{Name: "own", Prometheus: spec}, {Name: "other", Prometheus: &meshv1alpha1.PrometheusGate{}}})
		got := Evaluate(t.Context(), gates, *askingMember(), before, now)
		if len(got) != 1 || got[0].Verdict != want || got[0].Measurements.Taken != taken || !got[0].AskedAt.Time.Equal(now) {
			t.Errorf("after %d measurements: %+v, want %s", taken, got, want)
		}
	}
}

// TestConfigureAsksOwnGatesWhereTheyBelong wants measurements only where there is traffic.
func TestConfigureAsksOwnGatesWhereTheyBelong(t *testing.T) {
	specs := []meshv1alpha1.Gate{
		{Name: "hook", Webhook: &meshv1alpha1.WebhookGate{}}, {Name: "slo", Prometheus: &meshv1alpha1.PrometheusGate{}}, {Name: "ConfigValid"},
	}
	for stage, want := range map[meshv1alpha1.Stage][]string{
		meshv1alpha1.StageInstall: {"hook"}, meshv1alpha1.StageWorkloads: {"hook", "slo"}, meshv1alpha1.StageSoak: {"hook", "slo"},
	} {
		var got []string
		for _, g := range Configure(nil, specs, stage) {
			got = append(got, g.Name())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", stage, diff)
		}
	}
}

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

// TestStartOver wants as many measurements again, with what was bad before.
func TestStartOver(t *testing.T) {
	spec := &meshv1alpha1.PrometheusGate{
		GateServer: meshv1alpha1.GateServer{URL: promised(t, map[string]string{"q": vector("2")})}, Query: "q", Max: "1", FailureLimit: 1,
	}
	specs := []meshv1alpha1.Gate{
		{Name: "own", Prometheus: spec}, {Name: "ratio", Prometheus: &meshv1alpha1.PrometheusGate{Compare: meshv1alpha1.ComparisonRatio}},
	}
	passed := func(name string, m *meshv1alpha1.GateMeasurements) meshv1alpha1.GateResult {
		return meshv1alpha1.GateResult{Name: name, Verdict: meshv1alpha1.VerdictPass, Measurements: m, AskedAt: &metav1.Time{Time: now}}
	}
	results := StartOver([]meshv1alpha1.GateResult{
		passed("ConfigAccepted", nil), passed("own", &meshv1alpha1.GateMeasurements{Taken: 3, Bad: 1}), passed("ratio", &meshv1alpha1.GateMeasurements{Taken: 3}),
	}, specs, now)
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
		results = Evaluate(t.Context(), Configure(nil, specs[:1], meshv1alpha1.StageWorkloads), *askingMember(), results, now.Add(step.after))
		if results[0].Verdict != step.want || *results[0].Measurements != step.count {
			t.Errorf("after %s: %+v, want %s with %+v", step.after, results[0], step.want, step.count)
		}
	}
}
