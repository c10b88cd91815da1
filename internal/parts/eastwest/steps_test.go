package eastwest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func TestReportGateway(t *testing.T) {
	const older, newer, pinned = "istio-eastwestgateway-1-28-3", "istio-eastwestgateway-1-29-1", "istio-eastwestgateway"
	before, at := metav1.NewTime(testutil.Now.Add(-time.Hour)), metav1.NewTime(testutil.Now)
	former := meshv1alpha1.GatewayStatus{Name: older, Revision: "1-28-3", Addresses: []string{"203.0.113.1"}, Announced: &before}
	held := &meshv1alpha1.GatewayTakeover{HeldBefore: []string{"203.0.113.1"}}
	state := func(revision string, complete bool) State {
		return State{Addresses: []string{"203.0.113.2"}, Rollout: member.Rollout{Revision: revision, Complete: complete}}
	}
	tests := map[string]struct {
		reported meshv1alpha1.GatewayStatus
		name     string
		state    State
		announce bool
		want     meshv1alpha1.GatewayStatus
	}{
		"the first is reported before it serves": {
			name: newer, state: state("1-29-1", false),
			want: meshv1alpha1.GatewayStatus{Name: newer, Revision: "1-29-1", Addresses: []string{"203.0.113.2"}},
		},
		"until the new one serves the former one is the gateway": {
			reported: former, name: newer, state: state("1-29-1", false), want: former,
		},
		"one that was reported without a name is known by its revision": {
			reported: meshv1alpha1.GatewayStatus{Revision: "1-28-3", Addresses: []string{"203.0.113.1"}, Announced: &before},
			name:     newer, state: state("1-29-1", false),
			want: meshv1alpha1.GatewayStatus{Revision: "1-28-3", Addresses: []string{"203.0.113.1"}, Announced: &before},
		},
		"the new one is announced now": {
			reported: former, name: newer, state: state("1-29-1", true), announce: true,
			want: meshv1alpha1.GatewayStatus{Name: newer, Revision: "1-29-1", Addresses: []string{"203.0.113.2"}, Announced: &at, Takeover: held},
		},
		"one that is pinned replaces one of the same revision": {
			reported: meshv1alpha1.GatewayStatus{Name: newer, Revision: "1-29-1", Addresses: []string{"203.0.113.1"}, Announced: &before},
			name:     pinned, state: state("1-29-1", true), announce: true,
			want: meshv1alpha1.GatewayStatus{Name: pinned, Revision: "1-29-1", Addresses: []string{"203.0.113.2"}, Announced: &at, Takeover: held},
		},
		"in place it stays announced, and of the old revision while its pods are replaced": {
			reported: meshv1alpha1.GatewayStatus{Name: pinned, Revision: "1-28-3", Addresses: []string{"203.0.113.2"}, Announced: &before},
			name:     pinned, state: state("1-29-1", false), announce: true,
			want: meshv1alpha1.GatewayStatus{Name: pinned, Revision: "1-28-3", Addresses: []string{"203.0.113.2"}, Announced: &before},
		},
		"in place it is of the new revision when all are replaced": {
			reported: meshv1alpha1.GatewayStatus{Name: pinned, Revision: "1-28-3", Addresses: []string{"203.0.113.2"}, Announced: &before},
			name:     pinned, state: state("1-29-1", true), announce: true,
			want: meshv1alpha1.GatewayStatus{Name: pinned, Revision: "1-29-1", Addresses: []string{"203.0.113.2"}, Announced: &before},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			pass := &member.Pass{Now: testutil.Now, Object: testutil.Member("east", func(m *meshv1alpha1.MeshMember) {
				m.Spec.GatewayRevision, m.Status.Gateway = "1-29-1", tt.reported
			})}
			reportGateway(pass, tt.name, tt.state, tt.announce, held)
			if diff := cmp.Diff(tt.want, pass.Object.Status.Gateway); diff != "" {
				t.Errorf("gateway (-want +got):\n%s", diff)
			}
		})
	}
}

// TestServingSince counts from when a gateway was first seen to serve without a break.
func TestServingSince(t *testing.T) {
	var c servingSince
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		name   string
		serves bool
		at     time.Duration
		want   time.Duration
	}{
		{"a", false, 0, 0},
		{"a", true, time.Second, 0},
		{"a", true, 4 * time.Second, 3 * time.Second},
		{"a", false, 5 * time.Second, 0},
		{"a", true, 6 * time.Second, 0},
		{"b", true, 9 * time.Second, 0},
		{"b", true, 11 * time.Second, 2 * time.Second},
	} {
		if got := c.since(step.name, step.serves, start.Add(step.at)); got != step.want {
			t.Errorf("%s after %s: has served for %s, want %s", step.name, step.at, got, step.want)
		}
	}
}

// TestWarmUp holds back only a gateway that takes over from another one.
func TestWarmUp(t *testing.T) {
	announced := &metav1.Time{Time: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	for name, c := range map[string]struct {
		present meshv1alpha1.GatewayStatus
		want    time.Duration
	}{
		"the first gateway":                   {meshv1alpha1.GatewayStatus{}, 0},
		"one that peers were never told of":   {meshv1alpha1.GatewayStatus{Name: "old"}, 0},
		"the gateway that is there":           {meshv1alpha1.GatewayStatus{Name: "new", Announced: announced}, 0},
		"one that takes over from another":    {meshv1alpha1.GatewayStatus{Name: "old", Announced: announced}, minServeTime},
		"one that takes over from a nameless": {meshv1alpha1.GatewayStatus{Announced: announced}, minServeTime},
	} {
		t.Run(name, func(t *testing.T) {
			m := testutil.Member("east")
			m.Status.Gateway = c.present
			if got := warmUp(&member.Pass{Object: m}, "new"); got != c.want {
				t.Errorf("must serve for %s, want %s", got, c.want)
			}
		})
	}
}

func TestGatewayStep(t *testing.T) {
	for want, done := range [][]bool{{false, true, true}, {true, false, true}, {true, true, false}, {true, true, true}} {
		if got := gatewayStep(done...); int(got) != want {
			t.Errorf("%v is step %d, want %d", done, got, want)
		}
	}
}
