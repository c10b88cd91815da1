package controlplane

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func TestUsersInPeers(t *testing.T) {
	const revision = "1-28-3"
	pod := func(name string, change ...func(*corev1.Pod)) client.Object {
		return membertest.ProxyPod("demo", name, revision, change...)
	}
	stops := func(p *corev1.Pod) {
		p.Finalizers, p.DeletionTimestamp = []string{"test/stops"}, &metav1.Time{Time: testutil.Now}
	}
	tests := map[string]struct {
		pods         []client.Object
		notReached   bool
		notConnected bool
		want         users
	}{
		"a peer without proxies":                    {},
		"a proxy that the peer's own istiod serves": {pods: []client.Object{membertest.IstiodPod("istiod-0", revision), pod("web")}},
		"one for which the peer has no istiod":      {pods: []client.Object{membertest.IstiodPod("istiod-0", "1-29-1"), pod("web")}, want: users{staying: []string{"demo/web of member west"}}},
		"such a one that stops":                     {pods: []client.Object{pod("web", stops)}, want: users{leaving: []string{"demo/web of member west"}}},
		"such a one of a node that is gone":         {pods: []client.Object{pod("web", membertest.Leaving(time.Hour))}, want: users{lost: []string{"demo/web on node node-1 of member west"}}},
		"one whose only istiod is lost": {pods: []client.Object{membertest.IstiodPod("istiod-0", revision, membertest.Leaving(time.Hour)), pod("web")},
			want: users{staying: []string{"demo/web of member west"}}},
		"such a one that has ended":               {pods: []client.Object{pod("web", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })}},
		"one of another revision":                 {pods: []client.Object{pod("web", func(p *corev1.Pod) { p.Annotations["istio.io/rev"] = "1-29-1" })}},
		"a peer that is not reached is not asked": {pods: []client.Object{pod("web")}, notReached: true},
		"a peer that is said to be reached and cannot tell": {notConnected: true, want: users{silent: []string{
			"member west (" + fleet.ErrNotConnected.Error() + ")"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			west := testutil.Member("west", func(m *meshv1alpha1.MeshMember) {
				status := metav1.ConditionTrue
				if tt.notReached {
					status = metav1.ConditionUnknown
				}
				m.UID = "west"
				m.Status.Conditions = []metav1.Condition{{Type: meshv1alpha1.ConditionReachable, Status: status}}
			})
			connection := &fleet.Connection{Client: fake.NewClientBuilder().WithObjects(tt.pods...).Build()}
			s := &Steps{Reach: func(key types.NamespacedName) (*fleet.Connection, error) {
				if tt.notConnected || key != client.ObjectKeyFromObject(west) {
					return nil, fleet.ErrNotConnected
				}
				return connection, nil
			}}
			pass := membertest.Pass(t, testutil.Member("east"))
			pass.Hub = testutil.HubClient(t, west)
			got, err := s.usersOf(t.Context(), pass, revision)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(users{})); diff != "" {
				t.Errorf("users (-want +got):\n%s", diff)
			}
		})
	}
}
