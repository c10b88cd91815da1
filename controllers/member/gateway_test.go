package member

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/observe"
	"github.com/meshfleet/meshfleet/internal/parts/eastwest"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func TestReportGateway(t *testing.T) {
	const older, newer, pinned = "istio-eastwestgateway-1-28-3", "istio-eastwestgateway-1-29-1", "istio-eastwestgateway"
	before, at := metav1.NewTime(testutil.Now.Add(-time.Hour)), metav1.NewTime(testutil.Now)
	former := meshv1alpha1.GatewayStatus{Name: older, Revision: "1-28-3", Address: "203.0.113.1", Announced: &before}
	state := func(revision string, complete bool) eastwest.State {
		return eastwest.State{Address: "203.0.113.2", Rollout: observe.Rollout{Revision: revision, Complete: complete}}
	}
	tests := map[string]struct {
		reported meshv1alpha1.GatewayStatus
		name     string
		state    eastwest.State
		announce bool
		want     meshv1alpha1.GatewayStatus
	}{
		"the first is reported before it serves": {
			name: newer, state: state("1-29-1", false),
			want: meshv1alpha1.GatewayStatus{Name: newer, Revision: "1-29-1", Address: "203.0.113.2"},
		},
		"until the new one serves the former one is the gateway": {
			reported: former, name: newer, state: state("1-29-1", false), want: former,
		},
		"one that was reported without a name is known by its revision": {
			reported: meshv1alpha1.GatewayStatus{Revision: "1-28-3", Address: "203.0.113.1", Announced: &before},
			name:     newer, state: state("1-29-1", false),
			want: meshv1alpha1.GatewayStatus{Revision: "1-28-3", Address: "203.0.113.1", Announced: &before},
		},
		"the new one is announced now": {
			reported: former, name: newer, state: state("1-29-1", true), announce: true,
			want: meshv1alpha1.GatewayStatus{Name: newer, Revision: "1-29-1", Address: "203.0.113.2", Announced: &at},
		},
		"one that is pinned replaces one of the same revision": {
			reported: meshv1alpha1.GatewayStatus{Name: newer, Revision: "1-29-1", Address: "203.0.113.1", Announced: &before},
			name:     pinned, state: state("1-29-1", true), announce: true,
			want: meshv1alpha1.GatewayStatus{Name: pinned, Revision: "1-29-1", Address: "203.0.113.2", Announced: &at},
		},
		"in place it stays announced, and of the old revision while its pods are replaced": {
			reported: meshv1alpha1.GatewayStatus{Name: pinned, Revision: "1-28-3", Address: "203.0.113.2", Announced: &before},
			name:     pinned, state: state("1-29-1", false), announce: true,
			want: meshv1alpha1.GatewayStatus{Name: pinned, Revision: "1-28-3", Address: "203.0.113.2", Announced: &before},
		},
		"in place it is of the new revision when all are replaced": {
			reported: meshv1alpha1.GatewayStatus{Name: pinned, Revision: "1-28-3", Address: "203.0.113.2", Announced: &before},
			name:     pinned, state: state("1-29-1", true), announce: true,
			want: meshv1alpha1.GatewayStatus{Name: pinned, Revision: "1-29-1", Address: "203.0.113.2", Announced: &before},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := &scope{now: testutil.Now, member: testutil.Member("east", func(m *meshv1alpha1.MeshMember) {
				m.Spec.GatewayRevision, m.Status.Gateway = "1-29-1", tt.reported
			})}
			reportGateway(s, tt.name, tt.state, tt.announce)
			if diff := cmp.Diff(tt.want, s.member.Status.Gateway); diff != "" {
				t.Errorf("gateway (-want +got):\n%s", diff)
			}
		})
	}
}
