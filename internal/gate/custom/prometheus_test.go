package custom

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

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
			got, err := read(t.Context(), customSubject(), &test.spec, limits)
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
	_, err := read(t.Context(), customSubject(), spec, bounds{})
	if err == nil || !strings.Contains(err.Error(), "the server was not reached") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error is %v", err)
	}
}
