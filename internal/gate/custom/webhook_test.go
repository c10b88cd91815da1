package custom

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/gate/gatetest"
)

// answering serves these answers, one after another, and the last for ever.
func answering(t *testing.T, answers ...func(http.ResponseWriter, *http.Request)) (url string, asked *atomic.Int32) {
	t.Helper()
	asked = &atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(asked.Add(1))
		// A server notices that a client has gone only after it has read what it was sent.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read the request: %v", err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		answers[min(n, len(answers))-1](w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, asked
}

func text(code int, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}
}

func TestWebhook(t *testing.T) {
	hangs := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for name, test := range map[string]struct {
		answers []func(http.ResponseWriter, *http.Request)
		retries int32
		want    meshv1alpha1.Verdict
		says    string
		value   string
		asked   int32
	}{
		"yes":                         {answers: texts(200, `{"verdict":"Pass","message":"all\n well","value":0.25,"more":1}`), want: "Pass", says: "all well", value: "0.25", asked: 1},
		"no":                          {answers: texts(200, `{"verdict":"Fail","message":"no","value":"12 of 20"}`), want: "Fail", says: "no", value: "12 of 20", asked: 1},
		"not yet":                     {answers: texts(200, `{"verdict":"Pending","value":null}`), want: "Pending", asked: 1},
		"cannot tell":                 {answers: texts(200, `{"verdict":"Inconclusive"}`), want: "Inconclusive", asked: 1},
		"a verdict that is not its":   {answers: texts(200, `{"verdict":"Error"}`), want: "Error", says: `verdict "Error"`, asked: 1},
		"a verdict in lower case":     {answers: texts(200, `{"verdict":"pass"}`), want: "Error", says: `verdict "pass"`, asked: 1},
		"no verdict":                  {answers: texts(200, `{}`), want: "Error", says: `verdict ""`, asked: 1},
		"a value that is a list":      {answers: texts(200, `{"verdict":"Pass","value":[1]}`), want: "Error", says: "neither a string nor a number", asked: 1},
		"no JSON":                     {answers: texts(200, `<html>`), want: "Error", says: "does not match the contract", retries: 2, asked: 1},
		"nothing":                     {answers: texts(200, ``), want: "Error", says: "does not match the contract", asked: 1},
		"accepted is no answer":       {answers: texts(202, `{"verdict":"Pass"}`), want: "Error", says: "answered 202", retries: 2, asked: 1},
		"a refusal is not repeated":   {answers: texts(403, `{"verdict":"Pass"}`), want: "Error", says: "answered 403 Forbidden", retries: 2, asked: 1},
		"a failure is repeated":       {answers: append(texts(503, ``), texts(200, `{"verdict":"Pass"}`)...), want: "Pass", retries: 1, asked: 2},
		"a limit is respected":        {answers: append(texts(429, ``), texts(200, `{"verdict":"Pass"}`)...), want: "Pass", retries: 1, asked: 2},
		"but only so often":           {answers: texts(500, `{"verdict":"Pass"}`), want: "Error", says: "answered 500", retries: 2, asked: 3},
		"silence":                     {answers: []func(http.ResponseWriter, *http.Request){hangs}, want: "Error", says: "the server was not reached", asked: 1},
		"a large answer is cut short": {answers: texts(200, `{"message":"`+strings.Repeat("x", answerSize)+`","verdict":"Pass"}`), want: "Error", says: "does not match the contract", asked: 1},
	} {
		t.Run(name, func(t *testing.T) {
			url, asked := answering(t, test.answers...)
			c := webhookGate{name: "own", spec: &meshv1alpha1.WebhookGate{
				GateServer: meshv1alpha1.GateServer{URL: url, Timeout: &metav1.Duration{Duration: 200 * time.Millisecond}}, Retries: &test.retries,
			}}
			g, m := gate.NewPaced("own", nil, c.ask), *customSubject()
			got := g.Ask(t.Context(), m)
			for test.asked > asked.Load() && got.Verdict == meshv1alpha1.VerdictPending {
				if want := fmt.Sprintf("request %d of %d: the server answered ", asked.Load(), test.retries+1); !strings.HasPrefix(got.Message, want) {
					t.Errorf("message %q, want it to begin with %q", got.Message, want)
				}
				got = g.Ask(t.Context(), m)
			}
			gatetest.Check(t, got, test.want, test.says)
			if got.Value != test.value || asked.Load() != test.asked {
				t.Errorf("value is %q after %d requests, want %q after %d", got.Value, asked.Load(), test.value, test.asked)
			}
		})
	}
}

func texts(code int, body string) []func(http.ResponseWriter, *http.Request) {
	return []func(http.ResponseWriter, *http.Request){text(code, body)}
}

func TestWebhookTellsWhatItIsAbout(t *testing.T) {
	var got map[string]any
	url, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %v", r.Method, r.Header, err)
		}
		text(200, `{"verdict":"Pass"}`)(w, r)
	})
	gates := BeforeTraffic([]meshv1alpha1.Gate{{Name: "own", Webhook: &meshv1alpha1.WebhookGate{GateServer: meshv1alpha1.GateServer{URL: url}}}})
	gate.Evaluate(t.Context(), gates, *customSubject(), nil, gatetest.Now)
	want := map[string]any{
		"gate": "own", "namespace": "meshes", "installation": "shop", "upgrade": "shop-1", "member": "east", "stage": "Workloads",
		"from": "1-28-3", "to": "1-29-1", "versions": map[string]any{"from": "1.28.3", "to": "1.29.1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the request (-want +got):\n%s", diff)
	}
}

// TestWebhookKeepsItsPace wants one question per interval after a yes, and the next one soon after anything else.
func TestWebhookKeepsItsPace(t *testing.T) {
	url, asked := answering(t, text(200, `{"verdict":"Pass"}`), text(200, `{"verdict":"Fail"}`))
	specs := []meshv1alpha1.Gate{{Name: "own", DryRun: true, Webhook: &meshv1alpha1.WebhookGate{
		GateServer: meshv1alpha1.GateServer{URL: url}, Interval: &metav1.Duration{Duration: time.Minute}, Retries: ptr.To[int32](0),
	}}}
	gates := gate.WithDryRun(WithTraffic(specs), specs)
	var results []meshv1alpha1.GateResult
	var questions []int
	m := customSubject()
	for second := range 75 {
		before := asked.Load()
		results = gate.Evaluate(t.Context(), gates, *m, results, gatetest.Now.Add(time.Duration(second)*time.Second))
		if asked.Load() != before {
			questions = append(questions, second)
		}
		if len(results) != 1 || !results[0].DryRun {
			t.Fatalf("second %d: %+v", second, results)
		}
	}
	if diff := cmp.Diff([]int{0, 60, 65, 70}, questions); diff != "" {
		t.Errorf("seconds with a question (-want +got):\n%s", diff)
	}
	if since := results[0].Since.Sub(gatetest.Now); since != time.Minute {
		t.Errorf("it has said no since %s, want 1m", since)
	}
}
