package member

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

const (
	oldGateway = "net-west/203.0.113.1"
	newGateway = "net-west/203.0.113.2"
)

// proxy is connected, and was last sent endpoints so long ago.
func proxy(id string, ago time.Duration, change ...func(*istiod.Resource)) istiod.Proxy {
	r := istiod.Resource{Sent: "a", Acked: "a", SentAt: testutil.Now.Add(-ago)}
	for _, c := range change {
		c(&r)
	}
	return istiod.Proxy{ID: id, Cluster: "east", Resources: map[string]istiod.Resource{endpointType: r}}
}

func unacknowledged(r *istiod.Resource) { r.Acked = "before" }

func TestTelling(t *testing.T) {
	listeners := map[string]istiod.Resource{"type.googleapis.com/envoy.config.listener.v3.Listener": {Sent: "b", Acked: "a"}}
	tests := map[string]struct {
		since   time.Duration // the change was seen so long ago, a second after it was not seen
		answers [][]istiod.Proxy
		want    []string
	}{
		"nobody is connected": {},
		"a proxy has acknowledged what was sent since": {
			since: 5 * time.Second, answers: [][]istiod.Proxy{{proxy("a.demo", 3*time.Second)}},
		},
		"a proxy has not acknowledged it": {
			since: 5 * time.Second, answers: [][]istiod.Proxy{{proxy("a.demo", 3*time.Second, unacknowledged), proxy("b.demo", 3*time.Second)}},
			want: []string{"a.demo"},
		},
		"what was acknowledged was sent before": {
			since: 5 * time.Second, answers: [][]istiod.Proxy{{proxy("a.demo", time.Minute)}}, want: []string{"a.demo"},
		},
		"istiod has sent nothing since, and had nothing to send": {
			since: nothingToSend, answers: [][]istiod.Proxy{{proxy("a.demo", time.Hour)}},
		},
		"the change may still be gathered with others": {
			since: time.Second, answers: [][]istiod.Proxy{{proxy("a.demo", 0)}}, want: []string{"a.demo"},
		},
		"a proxy that has just connected will get what is so now": {
			since: time.Second, answers: [][]istiod.Proxy{{{ID: "a.demo"}}},
		},
		"other types do not matter": {
			since: time.Second, answers: [][]istiod.Proxy{{{ID: "a.demo", Resources: listeners}}},
		},
		"a proxy that is connected twice is as far as the better connection": {
			since:   5 * time.Second,
			answers: [][]istiod.Proxy{{proxy("a.demo", time.Minute, unacknowledged)}, {proxy("a.demo", 3*time.Second)}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var told telling
			told.look([]string{oldGateway}, time.Time{}, testutil.Now.Add(-tt.since-time.Second))
			told.look([]string{newGateway}, time.Time{}, testutil.Now.Add(-tt.since))
			told.look([]string{newGateway}, time.Time{}, testutil.Now)
			if diff := cmp.Diff(tt.want, told.behind(tt.answers, testutil.Now)); diff != "" {
				t.Errorf("behind (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTellingKnowsWhenAGatewayWasAnnounced(t *testing.T) {
	var told telling
	told.look([]string{oldGateway}, testutil.Now.Add(-time.Hour), testutil.Now.Add(-5*time.Minute))
	told.look([]string{oldGateway, newGateway}, testutil.Now.Add(-8*time.Second), testutil.Now.Add(-6*time.Second))
	if len(told.behind([][]istiod.Proxy{{proxy("a.demo", time.Minute)}}, testutil.Now)) != 1 {
		t.Error("what was sent since the last look, but before the announcement, counts")
	}
	if behind := told.behind([][]istiod.Proxy{{proxy("a.demo", 7*time.Second)}}, testutil.Now); len(behind) != 0 {
		t.Errorf("%v are behind, though they were told after the announcement", behind)
	}
}

// playedIstiod answers for its proxies.
type playedIstiod struct {
	Istiod
	proxies []istiod.Proxy
	err     error
	asked   int
}

func (p *playedIstiod) Proxies(context.Context, *rest.Config, string, string) ([]istiod.Proxy, error) {
	p.asked++
	return p.proxies, p.err
}

func TestAcknowledged(t *testing.T) {
	before := []string{oldGateway}
	tests := map[string]struct {
		known    []string
		disagree bool
		since    time.Duration
		istiod   playedIstiod
		want     []string
		asked    int
	}{
		"nothing has changed, nobody is asked": {known: before, istiod: playedIstiod{err: errors.New("not to be asked")}, want: before},
		"all have acknowledged": {
			known: []string{newGateway}, since: 5 * time.Second, asked: 1, want: []string{newGateway},
			istiod: playedIstiod{proxies: []istiod.Proxy{proxy("a.demo", time.Second)}},
		},
		"one has not": {
			known: []string{newGateway}, since: 5 * time.Second, asked: 1, want: before,
			istiod: playedIstiod{proxies: []istiod.Proxy{proxy("a.demo", time.Second, unacknowledged)}},
		},
		"one that never does is not waited for": {
			known: []string{newGateway}, since: tellDeadline, asked: 1, want: []string{newGateway},
			istiod: playedIstiod{proxies: []istiod.Proxy{proxy("a.demo", time.Second, unacknowledged)}},
		},
		"a client that debugs is no proxy": {
			known: []string{newGateway}, since: 5 * time.Second, asked: 1, want: []string{newGateway},
			istiod: playedIstiod{proxies: []istiod.Proxy{{ID: "me", Resources: map[string]istiod.Resource{"istio.io/debug": {Sent: "a"}}}}},
		},
		"istiod pods that do not agree are not believed": {known: []string{newGateway}, disagree: true, since: 5 * time.Second, want: before},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := pass()
			s.state = &memberState{connection: &fleet.Member{}}
			s.member.Status.Discovery.AcknowledgedGateways = before
			s.state.told.look(before, time.Time{}, testutil.Now.Add(-tt.since-time.Second))
			s.state.told.look(tt.known, time.Time{}, testutil.Now.Add(-tt.since))
			r := &Reconciler{Istiod: &tt.istiod}
			v := &verification{gateways: tt.known, agree: !tt.disagree}
			if err := r.acknowledged(t.Context(), s, make([]corev1.Pod, 1), v, expectedPeers{}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, s.member.Status.Discovery.AcknowledgedGateways); diff != "" {
				t.Errorf("acknowledged (-want +got):\n%s", diff)
			}
			if tt.istiod.asked != tt.asked {
				t.Errorf("proxies were asked for %d times, want %d", tt.istiod.asked, tt.asked)
			}
		})
	}
}

func TestAcknowledgedNeedsAnAnswer(t *testing.T) {
	s := pass()
	s.state = &memberState{connection: &fleet.Member{}}
	silent := &playedIstiod{err: errors.New("connection refused")}
	err := (&Reconciler{Istiod: silent}).acknowledged(t.Context(), s, make([]corev1.Pod, 1),
		&verification{gateways: []string{newGateway}, agree: true}, expectedPeers{})
	if !errors.Is(err, silent.err) || len(s.member.Status.Discovery.AcknowledgedGateways) != 0 {
		t.Errorf("error %v, acknowledged %v, want the error and nothing", err, s.member.Status.Discovery.AcknowledgedGateways)
	}
}

func TestNewsOfAGateway(t *testing.T) {
	sibling := func(name string, known, acknowledged []string) meshv1alpha1.MeshMember {
		return *testutil.Member(name, func(m *meshv1alpha1.MeshMember) {
			m.Status.Discovery = meshv1alpha1.DiscoveryStatus{Gateways: known, AcknowledgedGateways: acknowledged}
		})
	}
	gateway := []string{newGateway}
	siblings := []meshv1alpha1.MeshMember{
		sibling("told", gateway, gateway), sibling("known", gateway, nil), sibling("never", nil, nil), sibling("leaving", nil, gateway),
	}
	west := testutil.Member("west")
	if diff := cmp.Diff([]string{"known", "never", "leaving"}, withoutNews(siblings, west, "203.0.113.2")); diff != "" {
		t.Errorf("without news (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"told", "known", "leaving"}, stillUsing(siblings, west, "203.0.113.2")); diff != "" {
		t.Errorf("still using (-want +got):\n%s", diff)
	}
	if got := append(withoutNews(siblings, west, "lb.example"), stillUsing(siblings, west, "lb.example")...); len(got) > 0 {
		t.Errorf("%v are waited for because of a host name, which nobody can compare", got)
	}
}

func TestAskedRevisions(t *testing.T) {
	tests := map[meshv1alpha1.Stage]map[string]bool{
		meshv1alpha1.StageInstall:   {"new": true},
		meshv1alpha1.StageWorkloads: {"new": true, "old": true},
		meshv1alpha1.StageSoak:      {"new": true, "old": true},
		meshv1alpha1.StageRetire:    {"new": true},
	}
	for stage, want := range tests {
		spec := meshv1alpha1.MeshMemberSpec{DefaultRevision: "new", GatewayRevision: "new",
			Rollout: &meshv1alpha1.MemberRollout{From: "old", To: "new", Stage: stage}}
		if diff := cmp.Diff(want, asked(&spec)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", stage, diff)
		}
	}
}

// TestBeforeWithdrawal waits for siblings without end in an upgrade, where nothing presses, and for a bounded time in rollback.
func TestBeforeWithdrawal(t *testing.T) {
	stuck := testutil.Member("east")
	stuck.Status.Discovery = meshv1alpha1.DiscoveryStatus{Gateways: []string{oldGateway}, AcknowledgedGateways: []string{oldGateway}}
	for name, c := range map[string]struct {
		stage meshv1alpha1.Stage
		ago   time.Duration
		want  string
	}{
		"just announced":                    {meshv1alpha1.StageRollBack, settle - time.Second, "just been announced"},
		"an upgrade waits":                  {meshv1alpha1.StageGateways, 24 * time.Hour, "do not know the new one yet: east"},
		"rollback waits":                    {meshv1alpha1.StageRollBack, forgetDeadline - time.Second, "do not know the new one yet: east"},
		"rollback waits for a bounded time": {meshv1alpha1.StageRollBack, forgetDeadline, ""},
	} {
		t.Run(name, func(t *testing.T) {
			west := testutil.Member("west")
			west.Spec.Rollout = &meshv1alpha1.MemberRollout{Stage: c.stage}
			west.Status.Gateway = meshv1alpha1.GatewayStatus{Address: "203.0.113.2", Announced: &metav1.Time{Time: testutil.Now.Add(-c.ago)}}
			got := beforeWithdrawal(west, []meshv1alpha1.MeshMember{*stuck}, testutil.Now)
			if !strings.Contains(got, c.want) || c.want == "" && got != "" {
				t.Errorf("waits for %q, want %q", got, c.want)
			}
		})
	}
}
