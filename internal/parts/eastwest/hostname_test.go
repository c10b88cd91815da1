package eastwest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestAGatewayWithAHostNameIsReplacedWhenPeersHaveResolvedIt goes through the replacement of a gateway whose load balancer has a host name that
// only members can resolve: its peer decides when the old one is withdrawn, and when it is removed.
func TestAGatewayWithAHostNameIsReplacedWhenPeersHaveResolvedIt(t *testing.T) {
	const oldKey = "1-28-3"
	west := testutil.Member("west", func(m *meshv1alpha1.MeshMember) {
		m.UID = "west"
		m.Spec.GatewayRevision = "1-29-1"
		m.Status.Gateway = meshv1alpha1.GatewayStatus{
			Name: mesh.GatewayName("1-29-1"), Addresses: []string{"new.elb.example"}, Announced: &metav1.Time{Time: testutil.Now.Add(-time.Hour)},
			Takeover: &meshv1alpha1.GatewayTakeover{HeldBefore: []string{"10.0.0.1"}},
		}
	})
	owner := membertest.Pass(t, west).Owner()
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: testutil.ControlPlane, Name: mesh.GatewayName(oldKey), Labels: map[string]string{
			meshv1alpha1.LabelInstallation: owner, charts.NetworkLabel: west.Spec.Network,
		}},
		Spec:   corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer},
		Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{Hostname: "old.elb.example"}}}},
	}
	remote := fake.NewClientBuilder().WithObjects(service).Build()
	passes := membertest.Passes(t, west, remote)
	s := &Steps{Resolve: func(context.Context, string) ([]string, error) { return nil, errors.New("no such host") }}
	memory := &memory{}
	for i, step := range []struct {
		after      time.Duration
		held       []string
		wants      string
		isDone     bool
		isAnnounce bool
	}{
		{0, []string{"10.0.0.1"}, "do not know the new one yet: east", false, true},
		{time.Minute, []string{"10.0.0.1", "10.0.0.2"}, "it drains", false, false},
		{time.Minute + drainTime, []string{"10.0.0.1", "10.0.0.2"}, "still use it: east", false, false},
		{time.Minute + 2*drainTime, []string{"10.0.0.2"}, "", true, false},
	} {
		pass := passes(testutil.Now.Add(step.after))
		east := testutil.Member("east", testutil.Conditions("Reachable=True Connected"), func(m *meshv1alpha1.MeshMember) {
			m.UID = "east"
			m.Status.Discovery.Peers = []meshv1alpha1.PeerStatus{{Name: "west"}}
			for _, address := range step.held {
				g := meshv1alpha1.NetworkGateway{Network: west.Spec.Network, Address: address}
				m.Status.Discovery.IstiodGateways = append(m.Status.Discovery.IstiodGateways, g)
				m.Status.Discovery.ProxyGateways = append(m.Status.Discovery.ProxyGateways, g)
			}
		})
		pass.Hub = testutil.HubClient(t, west.DeepCopy(), east)
		got := s.replaceGateway(t.Context(), pass, memory, oldKey)
		if (got.Kind == phase.Done) != step.isDone || !strings.Contains(got.Text(), step.wants) {
			t.Errorf("step %d: %s %q, want %q", i, got.Kind, got.Text(), step.wants)
		}
		live := &corev1.Service{}
		testutil.Must(t, remote.Get(t.Context(), client.ObjectKeyFromObject(service), live))
		if isAnnounced := live.Labels[charts.NetworkLabel] != ""; isAnnounced != step.isAnnounce {
			t.Errorf("step %d: the old gateway is announced: %v, want %v", i, isAnnounced, step.isAnnounce)
		}
	}
}
