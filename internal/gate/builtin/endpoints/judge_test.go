package endpoints

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/gate/gatetest"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/peercache"
)

// scene is what there is to see at one look: what pods of both revisions know by pod, and what the peer west reports.
type scene struct{ old, new, west string }

// knows is one pod that knows these addresses of web.demo in west, and one in east.
func knows(pod string, addresses ...string) string {
	return fmt.Sprintf(`{%q:{"web.demo":{"east":["10.0.0.1"],"west":%s}}}`, pod, list(addresses))
}

// has is what west reports when it has these addresses of web.demo. Those that end with "?" not all of its istiods know.
func has(addresses ...string) string { return `{"west":{"web.demo":` + reported(addresses...) + `}}` }

func reported(addresses ...string) string {
	var sure, seen []string
	for _, a := range addresses {
		plain, isUnsure := strings.CutSuffix(a, "?")
		if seen = append(seen, plain); !isUnsure {
			sure = append(sure, plain)
		}
	}
	return fmt.Sprintf(`{"All":%s,"Any":%s}`, list(sure), list(seen))
}

func list(addresses []string) string {
	if len(addresses) == 0 {
		return "[]"
	}
	return `["` + strings.Join(addresses, `","`) + `"]`
}

// play looks at one scene after the other; the last one lasts. A peer without a report does not answer.
func play(t *testing.T, m *gate.Subject, scenes []scene) gate.Answer {
	t.Helper()
	var before *Comparison
	for n := 0; ; n++ {
		now := scenes[min(n, len(scenes)-1)]
		peers, age := before.ToAsk(m.ReportingPeers)
		if want := map[bool]time.Duration{true: recent}[n == 0]; age != want {
			t.Errorf("look %d takes reports of %s ago, want %s", n+1, age, want)
		}
		words, noAnswer := gatetest.Decode[peercache.Hosts](t, or(now.west)), map[string]string{}
		maps.DeleteFunc(words, func(peer string, _ peercache.Hosts) bool { return !slices.Contains(peers, peer) })
		for _, peer := range peers {
			if words[peer] == nil {
				noAnswer[peer] = "no istiod pod is ready"
			}
		}
		c := Compare(gatetest.Decode[map[string]istiod.Shards](t, or(now.old)), gatetest.Decode[map[string]istiod.Shards](t, or(now.new)), words)
		c.NoAnswer = noAnswer
		if c = before.Confirmed(c); !c.IsOpen() {
			return Judge(m, c)
		}
		if n >= looks {
			t.Fatalf("%d looks, and no answer: %s", n, c.Differences())
		}
		before = &c
	}
}

func or(text string) string {
	if text == "" {
		return "{}"
	}
	return text
}

// TestEndpointsAgainstTheFormerRevision lets no peer report.
func TestEndpointsAgainstTheFormerRevision(t *testing.T) {
	const whole = `{"web.demo":{"east":["10.0.0.1","10.0.0.2"],"west":["10.9.0.1"]},"gone.demo":{"west":null}}`
	old, pod := func(text string) string { return `{"old":` + text + `}` }, func(text string) string { return `{"new":` + text + `}` }
	for name, test := range map[string]struct {
		scenes   []scene
		noFormer bool
		want     meshv1alpha1.Verdict
		words    string
	}{
		"both know the same": {scenes: []scene{{old: old(whole), new: pod(whole)}}, want: meshv1alpha1.VerdictPass, words: "east 2, west 1"},
		"the new one knows more": {want: meshv1alpha1.VerdictPass, scenes: []scene{{old: old(whole),
			new: pod(`{"web.demo":{"east":["10.0.0.1","10.0.0.2","10.0.0.3"],"west":["10.9.0.1"]}}`)}}},
		"the new one lacks a cluster": {scenes: []scene{{old: old(whole), new: pod(`{"web.demo":{"east":["10.0.0.1","10.0.0.2"]}}`)}},
			want: meshv1alpha1.VerdictFail, words: "missing 1 endpoint: web.demo in west (new)"},
		"the new one lacks a service": {scenes: []scene{{old: old(whole), new: pod(`{}`)}},
			want: meshv1alpha1.VerdictFail, words: "missing 3 endpoints: web.demo in east (new), web.demo in west (new)"},
		"what was missing comes at last": {scenes: []scene{{old: old(whole), new: pod(`{}`)}, {old: old(whole), new: pod(`{}`)}, {old: old(whole), new: pod(whole)}},
			want: meshv1alpha1.VerdictPass},
		"something else is missing in each look": {want: meshv1alpha1.VerdictPass, scenes: []scene{
			{old: old(whole), new: pod(`{"web.demo":{"east":["10.0.0.1"],"west":["10.9.0.1"]}}`)},
			{old: old(whole), new: pod(`{"web.demo":{"east":["10.0.0.2"],"west":["10.9.0.1"]}}`)}}},
		"no pod of the former revision": {scenes: []scene{{new: pod(whole)}}, want: meshv1alpha1.VerdictInconclusive, words: "nothing to compare with"},
		"no pod of the new revision":    {scenes: []scene{{old: old(whole)}}, want: meshv1alpha1.VerdictInconclusive, words: "no istiod pod of revision 1-29-1"},
		"neither knows the peer": {scenes: []scene{{old: old(`{"web.demo":{"east":["10.0.0.1"]}}`), new: pod(`{"web.demo":{"east":["10.0.0.1"]}}`)}},
			want: meshv1alpha1.VerdictInconclusive, words: "no endpoint is known of west"},
		"a first revision that knows every cluster": {noFormer: true, scenes: []scene{{new: pod(whole)}}, want: meshv1alpha1.VerdictPass},
		"a first revision that knows no peer": {noFormer: true, scenes: []scene{{new: pod(`{"web.demo":{"east":["10.0.0.1"]}}`)}},
			want: meshv1alpha1.VerdictInconclusive, words: "west"},
		"a first revision whose pods do not agree": {noFormer: true, want: meshv1alpha1.VerdictFail, words: "web.demo in west (b)",
			scenes: []scene{{new: `{"a":{"web.demo":{"east":["10.0.0.1"],"west":["10.9.0.1"]}},"b":{"web.demo":{"east":["10.0.0.1"]}}}`}}},
	} {
		t.Run(name, func(t *testing.T) {
			m := gatetest.Subject()
			if test.noFormer {
				m.From = ""
			}
			gatetest.Check(t, play(t, m, test.scenes), test.want, test.words)
		})
	}
}

func TestEndpointsAgainstThePeers(t *testing.T) {
	const one, two = "10.9.0.1", "10.9.0.2"
	for name, test := range map[string]struct {
		scenes []scene
		change func(*gate.Subject)
		want   meshv1alpha1.Verdict
		words  string
		value  string
	}{
		"all know what the peer has": {
			scenes: []scene{{old: knows("old", one), new: knows("new", one), west: has(one)}},
			want:   meshv1alpha1.VerdictPass, words: "the peers' own reports (1 of 1); addresses by cluster: east 1, west 1", value: "0",
		},
		"the new revision alone lacks what the peer has": {
			scenes: []scene{{old: knows("old", one, two), new: knows("new", one), west: has(one, two)}},
			want:   meshv1alpha1.VerdictFail, words: "missing 1 endpoint: web.demo in west (new)", value: "1",
		},
		"one of two pods lacks what the peer has": {
			scenes: []scene{{old: knows("old", one), west: has(one),
				new: `{"a":{"web.demo":{"east":["10.0.0.1"],"west":["10.9.0.1"]}},"b":{"web.demo":{"east":["10.0.0.1"]}}}`}},
			want: meshv1alpha1.VerdictFail, words: "missing 1 endpoint: web.demo in west (b)", value: "1",
		},
		"both revisions lack a part of what the peer has": {
			scenes: []scene{{old: knows("old", one), new: knows("new", one), west: has(one, two)}},
			want:   meshv1alpha1.VerdictInconclusive, words: "revision 1-28-3 differs in the same way from the peers' own reports: 1 endpoint: web.demo in west (new)",
		},
		"both revisions lacked it at first": {
			scenes: []scene{
				{old: knows("old", one), new: knows("new", one), west: has(one, two)},
				{old: knows("old", one, two), new: knows("new", one), west: has(one, two)}},
			want: meshv1alpha1.VerdictInconclusive, words: "revision 1-28-3 differs in the same way",
		},
		"the former revision alone lacks what the peer has": {
			scenes: []scene{{old: knows("old", one), new: knows("new", one, two), west: has(one, two)}},
			want:   meshv1alpha1.VerdictPass, words: "west 2", value: "0",
		},
		"a pod of the peer appears after the first look": {
			scenes: []scene{
				{old: knows("old", one), new: knows("new", one), west: has(one, two)},
				{old: knows("old", one, two), new: knows("new", one, two), west: has(one, two)}},
			want: meshv1alpha1.VerdictPass, value: "0",
		},
		"what is missing at the peer's second report only": {
			scenes: []scene{
				{old: knows("old", one), new: knows("new", one), west: has(one)},
				{old: knows("old", one), new: knows("new", one), west: has(one, two)}},
			want: meshv1alpha1.VerdictPass, words: "west 1", value: "0",
		},
		"another address is missing in each look": {
			scenes: []scene{
				{old: knows("old", one), new: knows("new", one), west: has(one, "10.9.0.3")},
				{old: knows("old", one), new: knows("new", one), west: has(one, "10.9.0.4")},
				{old: knows("old", one), new: knows("new", one), west: has(one, "10.9.0.5")}},
			want: meshv1alpha1.VerdictPass, value: "0",
		},
		"what not every istiod of the peer knows is not missed": {
			scenes: []scene{{old: knows("old", one), new: knows("new", one), west: has(one, two+"?")}},
			want:   meshv1alpha1.VerdictPass, value: "0",
		},
		"nor is what only some of them know stale": {
			scenes: []scene{{old: knows("old", one, two), new: knows("new", one, two), west: has(one, two+"?")}},
			want:   meshv1alpha1.VerdictPass, value: "0",
		},
		"the new revision alone knows what the peer has no longer": {
			scenes: []scene{{old: knows("old", one), new: knows("new", one, two), west: has(one)}},
			want:   meshv1alpha1.VerdictFail, words: "knowing 1 stale endpoint: web.demo in west (new)", value: "1",
		},
		"the new revision reads another cluster in the peer's place": {
			scenes: []scene{{old: knows("old", one, two), new: knows("new", "10.1.0.1"), west: has(one, two)}},
			want:   meshv1alpha1.VerdictFail, words: "missing 2 endpoints: web.demo in west (new); knowing 1 stale endpoint: web.demo in west (new)", value: "3",
		},
		"the service has no address left in the peer": {
			scenes: []scene{{old: knows("old"), new: knows("new", one), west: has()}},
			want:   meshv1alpha1.VerdictFail, words: "1 stale endpoint", value: "1",
		},
		"both revisions know what the peer has no longer": {
			scenes: []scene{{old: knows("old", one, two), new: knows("new", one, two), west: has(one)}},
			want:   meshv1alpha1.VerdictInconclusive, words: "revision 1-28-3 differs in the same way",
		},
		"the former revision alone knows what the peer has no longer": {
			scenes: []scene{{old: knows("old", one, two), new: knows("new", one), west: has(one)}},
			want:   meshv1alpha1.VerdictPass, value: "0",
		},
		"what was stale goes": {
			scenes: []scene{
				{old: knows("old", one, two), new: knows("new", one, two), west: has(one)},
				{old: knows("old", one), new: knows("new", one), west: has(one)}},
			want: meshv1alpha1.VerdictPass, value: "0",
		},
		"neither revision reads a service of the peer at all": {
			scenes: []scene{{old: knows("old", one), new: knows("new", one),
				west: `{"west":{"web.demo":` + reported(one) + `,"db.private":` + reported("10.9.0.9") + `}}`}},
			want: meshv1alpha1.VerdictPass, words: "left out 1 service that one side does not read at all: db.private of west", value: "0",
		},
		"the peer itself does not read a service": {
			scenes: []scene{{old: knows("old", one), new: knows("new", one), west: `{"west":{"api.demo":` + reported() + `}}`}},
			want:   meshv1alpha1.VerdictPass, words: "left out 1 service that one side does not read at all: web.demo of west", value: "0",
		},
		"the peer does not report": {
			scenes: []scene{{old: knows("old", one), new: knows("new", one)}},
			want:   meshv1alpha1.VerdictInconclusive, words: "no report of their own endpoints from west (no istiod pod is ready)",
		},
		"the peer does not report when it is asked again": {
			scenes: []scene{{old: knows("old", one), new: knows("new", one), west: has(one, two)}, {old: knows("old", one), new: knows("new", one)}},
			want:   meshv1alpha1.VerdictInconclusive, words: "west (no istiod pod is ready)",
		},
		"the peer does not report, and the former revision knows more": {
			scenes: []scene{{old: knows("old", one, two), new: knows("new", one)}},
			want:   meshv1alpha1.VerdictFail, words: "missing 1 endpoint", value: "1",
		},
		"a peer that is down is compared with the former revision": {
			scenes: []scene{{old: knows("old", one), new: knows("new", one)}}, change: isDown,
			want: meshv1alpha1.VerdictPass, words: "the peers' own reports (0 of 1)", value: "0",
		},
		"a peer that is down is missed": {
			scenes: []scene{{old: knows("old", one, two), new: knows("new", one)}}, change: isDown,
			want: meshv1alpha1.VerdictInconclusive, words: "endpoints are missing of west, which cannot be reached",
		},
		"a peer that is down and ignored is not missed": {
			scenes: []scene{{old: knows("old", one), new: knows("new")}}, change: func(m *gate.Subject) {
				isDown(m)
				m.IgnoreDown = true
			}, want: meshv1alpha1.VerdictPass, value: "0",
		},
		"a first revision lacks what the peer has": {
			scenes: []scene{{new: knows("new", one), west: has(one, two)}}, change: func(m *gate.Subject) { m.From = "" },
			want: meshv1alpha1.VerdictFail, words: "missing 1 endpoint", value: "1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := gatetest.Subject()
			m.ReportingPeers = []string{"west"}
			if test.change != nil {
				test.change(m)
			}
			got := play(t, m, test.scenes)
			gatetest.Check(t, got, test.want, test.words)
			if got.Value != test.value {
				t.Errorf("value %q, want %q", got.Value, test.value)
			}
		})
	}
}

func isDown(m *gate.Subject) { m.Down, m.ReportingPeers = []string{"west"}, nil }

// TestEndpointsOfAFreshIstiod wants no verdict on one that may still be reading.
func TestEndpointsOfAFreshIstiod(t *testing.T) {
	for name, test := range map[string]struct{ new, words string }{
		"it lacks an endpoint":     {knows("new"), "still missing 1 endpoint: web.demo in west (new)"},
		"it has not forgotten one": {knows("new", "10.9.0.1", "10.9.0.2"), "still knowing 1 stale endpoint: web.demo in west (new)"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Compare(gatetest.Decode[map[string]istiod.Shards](t, knows("old", "10.9.0.1")), gatetest.Decode[map[string]istiod.Shards](t, test.new),
				gatetest.Decode[peercache.Hosts](t, has("10.9.0.1")))
			c.IsFresh = true
			gatetest.Check(t, Judge(gatetest.Subject(), c), meshv1alpha1.VerdictInconclusive, test.words)
		})
	}
}
