package builtin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/gate/gatetest"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
)

const (
	pass, fail, pending, inconclusive = meshv1alpha1.VerdictPass, meshv1alpha1.VerdictFail, meshv1alpha1.VerdictPending, meshv1alpha1.VerdictInconclusive

	alive = `"istio_build":[{"Labels":{"component":"pilot"},"Value":1}]`
)

// accepts and rejects are proxies that were sent a Listener.
func accepts(id string) string {
	return fmt.Sprintf(`{"proxy":%q,"resources":{"type.googleapis.com/envoy.config.listener.v3.Listener":{"sent":"b","acked":"b","sentTime":"2026-01-02T03:00:00Z"}}}`, id)
}

func rejects(id string) string {
	return fmt.Sprintf(`{"proxy":%q,"resources":{"type.googleapis.com/envoy.config.listener.v3.Listener":
		{"sent":"b","acked":"a","sentTime":"2026-01-02T03:00:00Z","lastError":"no such filter"}}}`, id)
}

// errorsOf are metrics with a number of internal errors.
func errorsOf(n int) string {
	return fmt.Sprintf(`%s,"pilot_total_xds_internal_errors":[{"Value":%d}]`, alive, n)
}

// at is one look, so long after the first.
type lookAt struct {
	after time.Duration
	// proxies and metrics of the revision, formerProxies and formerMetrics of the former one.
	proxies, metrics, formerProxies, formerMetrics string
	// restarts says that the operator has restarted before, isFirst that there is no former revision.
	restarts, isFirst bool
	want              meshv1alpha1.Verdict
	words             string
}

func TestConfigAccepted(t *testing.T) {
	const counted = alive + `,"pilot_total_xds_rejects":[{"Labels":{"type":"lds"},"Value":37}],"pilot_xds_lds_reject":[{"Labels":{"node":"web-a.demo"},"Value":37}]`
	for name, test := range map[string]struct {
		stage meshv1alpha1.Stage
		looks []lookAt
	}{
		"counters that do not exist": {looks: []lookAt{{want: pass, words: "no rejections in 1 istiod pod"}}},
		"a pod with no metric of ours": {looks: []lookAt{{metrics: `"go_goroutines":[{"Value":3}]`, want: inconclusive,
			words: "istiod pod a has no metrics of istiod"}}},
		"pushes that were sent": {looks: []lookAt{{metrics: alive + `,"pilot_xds_pushes":[{"Labels":{"type":"cds"},"Value":8},{"Labels":{"type":"cds_senderr"},"Value":0}]`,
			want: pass, words: "no rejections"}}},
		"rejections that are cured": {looks: []lookAt{{proxies: accepts("web-0.demo"), metrics: counted, want: pass, words: "no rejections"}}},
		"a rejection that is cured soon": {stage: meshv1alpha1.StageSoak, looks: []lookAt{
			{proxies: accepts("web-0.demo"), want: pass},
			{after: 10 * time.Minute, proxies: rejects("web-0.demo"), want: pending, words: "web-0.demo rejects Listener: no such filter"},
			{after: 10*time.Minute + 20*time.Second, proxies: rejects("web-0.demo"), want: pending},
			{after: 11 * time.Minute, proxies: accepts("web-0.demo"), want: pass},
		}},
		"a rejection that stays": {looks: []lookAt{
			{proxies: rejects("web-0.demo"), want: pending},
			{after: 50 * time.Second, proxies: rejects("web-0.demo"), want: pending},
			{after: 100 * time.Second, proxies: rejects("web-0.demo"), want: pending},
			{after: 130 * time.Second, proxies: rejects("web-0.demo"), want: fail, words: "web-0.demo rejects Listener: no such filter"},
		}},
		"a rejection that stays, without a former revision": {looks: []lookAt{
			{isFirst: true, proxies: rejects("web-0.demo"), want: pending},
			{isFirst: true, after: time.Minute, proxies: rejects("web-0.demo"), want: pending},
			{isFirst: true, after: 2 * time.Minute, proxies: rejects("web-0.demo"), want: fail},
		}},
		"a rejection of what the former proxies accept": {looks: []lookAt{
			{proxies: rejects("web-0.demo"), formerProxies: accepts("web-a.demo"), want: fail,
				words: "web-0.demo rejects Listener: no such filter; proxies of revision 1-28-3 in that namespace accept it"},
		}},
		"a rejection of what the only former proxy accepted until it was moved": {looks: []lookAt{
			{formerProxies: accepts("web-a.demo"), want: pass},
			{after: 40 * time.Second, proxies: rejects("web-0.demo"), want: fail},
		}},
		"a rejection that the former proxies have as well": {looks: []lookAt{
			{proxies: rejects("web-0.demo"), formerProxies: rejects("web-a.demo"), want: pass,
				words: "no new rejections in 1 istiod pod; revision 1-28-3 has these as well: web-0.demo rejects Listener: no such filter"},
		}},
		"another proxy of the namespace accepts": {looks: []lookAt{
			{proxies: rejects("web-0.demo"), formerProxies: rejects("web-a.demo") + "," + accepts("api-a.demo"), want: pass, words: "has these as well"},
			{after: time.Minute, proxies: rejects("web-0.demo"), formerProxies: accepts("api-a.demo"), want: pass, words: "has these as well"},
		}},
		"the former proxies of another namespace reject": {looks: []lookAt{
			{proxies: rejects("web-0.demo"), formerProxies: rejects("web-a.shop") + "," + accepts("web-a.demo"), want: fail},
		}},
		"the former proxies have been cured": {looks: []lookAt{
			{proxies: rejects("web-0.demo"), formerProxies: rejects("web-a.demo"), want: pass},
			{after: 40 * time.Second, proxies: rejects("web-0.demo"), formerProxies: accepts("web-a.demo"), want: fail},
		}},
		"all former proxies have been moved": {stage: meshv1alpha1.StageSoak, looks: []lookAt{
			{formerProxies: rejects("web-a.demo"), want: pass},
			{after: time.Hour, proxies: rejects("web-0.demo"), want: pass, words: "has these as well"},
		}},
		"what the former proxies rejected was forgotten": {looks: []lookAt{
			{formerProxies: rejects("web-a.demo"), want: pass},
			{after: time.Minute, restarts: true, proxies: rejects("web-0.demo"), formerMetrics: counted, want: pending},
			{after: 2 * time.Minute, proxies: rejects("web-0.demo"), formerMetrics: counted, want: pending},
			{after: 3 * time.Minute, proxies: rejects("web-0.demo"), formerMetrics: counted, want: inconclusive,
				words: "revision 1-28-3 has counted rejections there as well, and has no proxy left to compare with"},
		}},
		"what is left of a connection": {looks: []lookAt{{proxies: rejects("web-0.demo") + "," +
			strings.Replace(accepts("web-0.demo"), "03:00:00Z", "03:01:00Z", 1), want: pass}}},
		"internal errors of long ago": {looks: []lookAt{
			{metrics: errorsOf(2), want: pending, words: "internal errors: 2 since the start of istiod; looks again"},
			{after: 2 * time.Second, metrics: errorsOf(2), want: pass},
		}},
		"one more internal error": {looks: []lookAt{
			{metrics: errorsOf(2), want: pending},
			{after: 2 * time.Second, metrics: errorsOf(3), want: pending, words: "internal errors: 1 in 0s"},
			{after: 20 * time.Second, metrics: errorsOf(3), want: pending},
			{after: 40 * time.Second, metrics: errorsOf(3), want: pass},
		}},
		"internal errors that go on": {looks: []lookAt{
			{metrics: errorsOf(0), want: pass},
			{after: 10 * time.Second, metrics: errorsOf(3), want: pending},
			{after: 20 * time.Second, metrics: errorsOf(5), want: pending},
			{after: 30 * time.Second, metrics: errorsOf(6), want: fail, words: "internal errors: 6 in 20s"},
		}},
		"internal errors that the former revision has as well": {looks: []lookAt{
			{metrics: errorsOf(0), formerMetrics: errorsOf(90), want: pass},
			{after: 10 * time.Second, metrics: errorsOf(3), formerMetrics: errorsOf(91), want: pending},
			{after: 30 * time.Second, metrics: errorsOf(6), formerMetrics: errorsOf(95), want: pass, words: "has these as well: internal errors: 6 in 20s"},
		}},
		"an istiod that has started again": {looks: []lookAt{
			{metrics: errorsOf(9), want: pending},
			{after: 10 * time.Second, metrics: errorsOf(1), want: pending, words: "internal errors: 1 in 0s"},
		}},
		"pushes that cannot be sent": {looks: []lookAt{
			{metrics: alive, want: pass},
			{after: 10 * time.Second, metrics: alive + `,"pilot_xds_pushes":[{"Labels":{"type":"eds_senderr"},"Value":1}]`, want: pending},
			{after: 30 * time.Second, metrics: alive + `,"pilot_xds_pushes":[{"Labels":{"type":"eds_senderr"},"Value":2}]`, want: fail, words: "unsent eds: 2 in 20s"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			looks := &gate.Looks{}
			var results []meshv1alpha1.GateResult
			for i, look := range test.looks {
				m := gatetest.Subject()
				if look.restarts {
					looks = &gate.Looks{}
				}
				if look.isFirst {
					m.From = ""
				}
				m.Looks, m.Stage = looks, test.stage
				ask := func(_ context.Context, m *gate.Subject) (gate.Answer, error) {
					return judgeAccepted(m, look.answers(t))
				}
				results = gate.Evaluate(t.Context(), []gate.Gate{gate.NewQuestion(configAcceptedName, time.Minute, ask)}, *m, results, now.Add(look.after))
				if got := results[0]; got.Verdict != look.want || !strings.Contains(got.Message, look.words) {
					t.Errorf("look %d: %s: %s, want %s with %q", i+1, got.Verdict, got.Message, look.want, look.words)
				}
			}
		})
	}
}

func (l lookAt) answers(t *testing.T) acceptedLook {
	proxies := func(list string) map[string][]istiod.Proxy {
		return gatetest.Decode[[]istiod.Proxy](t, `{"a":[`+list+`]}`)
	}
	metrics := func(text string) map[string]map[string][]istiod.Sample {
		if text == "" {
			text = alive
		}
		return gatetest.Decode[map[string][]istiod.Sample](t, `{"a":{`+text+`}}`)
	}
	if l.isFirst {
		return acceptedLook{proxies: proxies(l.proxies), metrics: metrics(l.metrics)}
	}
	return acceptedLook{
		proxies: proxies(l.proxies), metrics: metrics(l.metrics),
		formerProxies: func() (map[string][]istiod.Proxy, error) { return proxies(l.formerProxies), nil },
		formerMetrics: func() (map[string]map[string][]istiod.Sample, error) { return metrics(l.formerMetrics), nil },
	}
}

// TestConfigAcceptedNeedsIstiod wants no verdict from istiod pods that do not answer.
func TestConfigAcceptedNeedsIstiod(t *testing.T) {
	refused := errors.New("connection refused")
	unknown := lookAt{}.answers(t)
	unknown.formerProxies = func() (map[string][]istiod.Proxy, error) { return nil, refused }
	got, err := judgeAccepted(gatetest.Subject(), unknown)
	if err != nil {
		t.Fatal(err)
	}
	gatetest.Check(t, got, pass, "could not list the proxies of revision 1-28-3 to compare with: connection refused")
	rejecting := lookAt{proxies: rejects("web-0.demo")}.answers(t)
	rejecting.formerProxies = unknown.formerProxies
	if _, err := judgeAccepted(gatetest.Subject(), rejecting); !errors.Is(err, refused) {
		t.Errorf("a rejection that cannot be compared: %v, want %v", err, refused)
	}
	got, err = judgeAccepted(gatetest.Subject(), acceptedLook{})
	if err != nil {
		t.Fatal(err)
	}
	gatetest.Check(t, got, inconclusive, "no istiod pod")
}
