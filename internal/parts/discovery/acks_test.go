package discovery

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

var (
	oldGateway = meshv1alpha1.NetworkGateway{Network: "net-west", Address: "203.0.113.1"}
	newGateway = meshv1alpha1.NetworkGateway{Network: "net-west", Address: "203.0.113.2"}
)

func TestGatewayAcks(t *testing.T) {
	listeners := map[string]istiod.Resource{"type.googleapis.com/envoy.config.listener.v3.Listener": {Sent: "b", Acked: "a"}}
	tests := map[string]struct {
		since   time.Duration // the change was seen so long ago, a second after it was not seen
		answers [][]istiod.Proxy
		want    []string
	}{
		"nobody is connected": {},
		"a proxy has acknowledged what was sent since": {
			since: 5 * time.Second, answers: [][]istiod.Proxy{{membertest.Proxy("a.demo", 3*time.Second)}},
		},
		"a proxy has not acknowledged it": {
			since: 5 * time.Second, answers: [][]istiod.Proxy{{membertest.Proxy("a.demo", 3*time.Second, membertest.Unacknowledged), membertest.Proxy("b.demo", 3*time.Second)}},
			want: []string{"a.demo"},
		},
		"what was acknowledged was sent before": {
			since: 5 * time.Second, answers: [][]istiod.Proxy{{membertest.Proxy("a.demo", time.Minute)}}, want: []string{"a.demo"},
		},
		"istiod has sent nothing since, and had nothing to send": {
			since: nothingToSend, answers: [][]istiod.Proxy{{membertest.Proxy("a.demo", time.Hour)}},
		},
		"the change may still be gathered with others": {
			since: time.Second, answers: [][]istiod.Proxy{{membertest.Proxy("a.demo", 0)}}, want: []string{"a.demo"},
		},
		"a proxy that has just connected will get what is so now": {
			since: time.Second, answers: [][]istiod.Proxy{{{ID: "a.demo"}}},
		},
		"other types do not matter": {
			since: time.Second, answers: [][]istiod.Proxy{{{ID: "a.demo", Resources: listeners}}},
		},
		"a proxy that is connected twice is as far as the better connection": {
			since:   5 * time.Second,
			answers: [][]istiod.Proxy{{membertest.Proxy("a.demo", time.Minute, membertest.Unacknowledged)}, {membertest.Proxy("a.demo", 3*time.Second)}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var acks gatewayAcks
			acks.look([]meshv1alpha1.NetworkGateway{oldGateway}, time.Time{}, testutil.Now.Add(-tt.since-time.Second))
			acks.look([]meshv1alpha1.NetworkGateway{newGateway}, time.Time{}, testutil.Now.Add(-tt.since))
			acks.look([]meshv1alpha1.NetworkGateway{newGateway}, time.Time{}, testutil.Now)
			if diff := cmp.Diff(tt.want, acks.behind(tt.answers, testutil.Now)); diff != "" {
				t.Errorf("behind (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGatewayAcksSinceTheAnnouncement(t *testing.T) {
	var acks gatewayAcks
	acks.look([]meshv1alpha1.NetworkGateway{oldGateway}, testutil.Now.Add(-time.Hour), testutil.Now.Add(-5*time.Minute))
	acks.look([]meshv1alpha1.NetworkGateway{oldGateway, newGateway}, testutil.Now.Add(-8*time.Second), testutil.Now.Add(-6*time.Second))
	if len(acks.behind([][]istiod.Proxy{{membertest.Proxy("a.demo", time.Minute)}}, testutil.Now)) != 1 {
		t.Error("what was sent since the last look, but before the announcement, counts")
	}
	if behind := acks.behind([][]istiod.Proxy{{membertest.Proxy("a.demo", 7*time.Second)}}, testutil.Now); len(behind) != 0 {
		t.Errorf("%v are behind, though they were told after the announcement", behind)
	}
}

func TestAcknowledged(t *testing.T) {
	before := []meshv1alpha1.NetworkGateway{oldGateway}
	tests := map[string]struct {
		known    []meshv1alpha1.NetworkGateway
		disagree bool
		since    time.Duration
		istiod   membertest.Istiod
		want     []meshv1alpha1.NetworkGateway
		asked    int
	}{
		"nothing has changed, nobody is asked": {known: before, istiod: membertest.Istiod{Err: errors.New("not to be asked")}, want: before},
		"all have acknowledged": {
			known: []meshv1alpha1.NetworkGateway{newGateway}, since: 5 * time.Second, asked: 1, want: []meshv1alpha1.NetworkGateway{newGateway},
			istiod: membertest.Istiod{Connected: []istiod.Proxy{membertest.Proxy("a.demo", time.Second)}},
		},
		"one has not": {
			known: []meshv1alpha1.NetworkGateway{newGateway}, since: 5 * time.Second, asked: 1, want: before,
			istiod: membertest.Istiod{Connected: []istiod.Proxy{membertest.Proxy("a.demo", time.Second, membertest.Unacknowledged)}},
		},
		"one that never does is not waited for": {
			known: []meshv1alpha1.NetworkGateway{newGateway}, since: ackDeadline, asked: 1, want: []meshv1alpha1.NetworkGateway{newGateway},
			istiod: membertest.Istiod{Connected: []istiod.Proxy{membertest.Proxy("a.demo", time.Second, membertest.Unacknowledged)}},
		},
		"a client that debugs is no proxy": {
			known: []meshv1alpha1.NetworkGateway{newGateway}, since: 5 * time.Second, asked: 1, want: []meshv1alpha1.NetworkGateway{newGateway},
			istiod: membertest.Istiod{Connected: []istiod.Proxy{{ID: "me", Resources: map[string]istiod.Resource{"istio.io/debug": {Sent: "a"}}}}},
		},
		"istiod pods that do not agree are not believed": {known: []meshv1alpha1.NetworkGateway{newGateway}, disagree: true, since: 5 * time.Second, want: before},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, pass := &Steps{Istiod: &tt.istiod}, membertest.Pass(t, testutil.Member("east"))
			pass.Object.Status.Discovery.ProxyGateways = before
			acks := &s.memory.Of(pass).acks
			acks.look(before, time.Time{}, testutil.Now.Add(-tt.since-time.Second))
			acks.look(tt.known, time.Time{}, testutil.Now.Add(-tt.since))
			v := &verification{gateways: tt.known, agree: !tt.disagree}
			if err := s.acknowledged(t.Context(), pass, make([]corev1.Pod, 1), v, expectedPeers{}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, pass.Object.Status.Discovery.ProxyGateways); diff != "" {
				t.Errorf("acknowledged (-want +got):\n%s", diff)
			}
			if tt.istiod.Asked != tt.asked {
				t.Errorf("proxies were asked for %d times, want %d", tt.istiod.Asked, tt.asked)
			}
		})
	}
}

func TestAcknowledgedNeedsAnAnswer(t *testing.T) {
	silent := &membertest.Istiod{Err: errors.New("connection refused")}
	s, pass := &Steps{Istiod: silent}, membertest.Pass(t, testutil.Member("east"))
	err := s.acknowledged(t.Context(), pass, make([]corev1.Pod, 1),
		&verification{gateways: []meshv1alpha1.NetworkGateway{newGateway}, agree: true}, expectedPeers{})
	if !errors.Is(err, silent.Err) || len(pass.Object.Status.Discovery.ProxyGateways) != 0 {
		t.Errorf("error %v, acknowledged %v, want the error and nothing", err, pass.Object.Status.Discovery.ProxyGateways)
	}
}
