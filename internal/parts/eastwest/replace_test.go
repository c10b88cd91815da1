package eastwest

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

var (
	oldGateway = meshv1alpha1.NetworkGateway{Network: "net-west", Address: "203.0.113.1"}
	newGateway = meshv1alpha1.NetworkGateway{Network: "net-west", Address: "203.0.113.2"}
)

func TestNewsOfAGateway(t *testing.T) {
	sibling := func(name string, known, acknowledged []meshv1alpha1.NetworkGateway) meshv1alpha1.MeshMember {
		return *testutil.Member(name, func(m *meshv1alpha1.MeshMember) {
			m.Status.Discovery = meshv1alpha1.DiscoveryStatus{IstiodGateways: known, ProxyGateways: acknowledged}
		})
	}
	gateway := []meshv1alpha1.NetworkGateway{newGateway}
	siblings := []meshv1alpha1.MeshMember{
		sibling("acked", gateway, gateway), sibling("known", gateway, nil), sibling("never", nil, nil), sibling("leaving", nil, gateway),
	}
	west := testutil.Member("west")
	if diff := cmp.Diff([]string{"known", "never", "leaving"}, withoutNews(siblings, west, []string{"203.0.113.2"})); diff != "" {
		t.Errorf("without news (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"acked", "known", "leaving"}, stillUsing(siblings, west, []string{"203.0.113.2"})); diff != "" {
		t.Errorf("still using (-want +got):\n%s", diff)
	}
	if got := append(withoutNews(siblings, west, []string{"lb.example"}), stillUsing(siblings, west, []string{"lb.example"})...); len(got) > 0 {
		t.Errorf("%v are waited for because of a host name, which nobody can compare", got)
	}
}

// TestBeforeWithdrawal waits for siblings without end in an upgrade, where nothing presses, and for a bounded time in rollback.
func TestBeforeWithdrawal(t *testing.T) {
	stuck := testutil.Member("east")
	stuck.Status.Discovery = meshv1alpha1.DiscoveryStatus{IstiodGateways: []meshv1alpha1.NetworkGateway{oldGateway}, ProxyGateways: []meshv1alpha1.NetworkGateway{oldGateway}}
	for name, c := range map[string]struct {
		stage meshv1alpha1.Stage
		ago   time.Duration
		want  string
	}{
		"just announced":                    {meshv1alpha1.StageRollback, announceTime - time.Second, "just been announced"},
		"an upgrade waits":                  {meshv1alpha1.StageGateways, 24 * time.Hour, "do not know the new one yet: east"},
		"rollback waits":                    {meshv1alpha1.StageRollback, ForgetDeadline - time.Second, "do not know the new one yet: east"},
		"rollback waits for a bounded time": {meshv1alpha1.StageRollback, ForgetDeadline, ""},
	} {
		t.Run(name, func(t *testing.T) {
			west := testutil.Member("west")
			west.Spec.Rollout = &meshv1alpha1.MemberRollout{Stage: c.stage}
			west.Status.Gateway = meshv1alpha1.GatewayStatus{Addresses: []string{"203.0.113.2"}, Announced: &metav1.Time{Time: testutil.Now.Add(-c.ago)}}
			got := beforeWithdrawal(west, []meshv1alpha1.MeshMember{*stuck}, testutil.Now)
			if !strings.Contains(got, c.want) || c.want == "" && got != "" {
				t.Errorf("waits for %q, want %q", got, c.want)
			}
		})
	}
}
