package member

import (
	"errors"
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
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func TestUsersOf(t *testing.T) {
	const revision = "1-28-3"
	injected := func(name string, change ...func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name, Annotations: map[string]string{
			"istio.io/rev": revision, "sidecar.istio.io/status": "{}"}}}
		for _, c := range change {
			c(p)
		}
		return p
	}
	stops := func(p *corev1.Pod) { p.Finalizers = []string{"test/stops"} }
	istiodPod := func(state corev1.ContainerState) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: testutil.ControlPlane, Name: "istiod-0", Labels: map[string]string{"app": "istiod", "istio.io/rev": revision}},
			Status:     corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{State: state}}},
		}
	}
	runs := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	crashes := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	silent := playedIstiod{err: errors.New("connection refused")}
	tests := map[string]struct {
		pods   []*corev1.Pod
		istiod playedIstiod
		want   users
	}{
		"nobody": {pods: []*corev1.Pod{istiodPod(runs)}},
		"a pod that it has injected": {
			pods:   []*corev1.Pod{istiodPod(runs), injected("web")},
			istiod: playedIstiod{proxies: []istiod.Proxy{proxy("web.demo", 0)}}, want: users{staying: []string{"demo/web"}},
		},
		"a pod that it has injected, connected elsewhere": {
			pods: []*corev1.Pod{istiodPod(runs), injected("web")}, want: users{staying: []string{"demo/web"}},
		},
		"a pod that stops": {
			pods:   []*corev1.Pod{istiodPod(runs), injected("web", stops)},
			istiod: playedIstiod{proxies: []istiod.Proxy{proxy("web.demo", 0)}}, want: users{leaving: []string{"demo/web"}},
		},
		"a pod of what istiod runs for a Gateway, which stops": {
			pods: []*corev1.Pod{istiodPod(runs), injected("gateway", stops, func(p *corev1.Pod) {
				delete(p.Annotations, "sidecar.istio.io/status")
				p.Labels = map[string]string{"gateway.istio.io/managed": "istio.io-gateway-controller"}
			})},
			istiod: playedIstiod{proxies: []istiod.Proxy{proxy("gateway.demo", 0)}}, want: users{leaving: []string{"demo/gateway"}},
		},
		"a pod that has ended":   {pods: []*corev1.Pod{istiodPod(runs), injected("job", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })}},
		"a pod of another proxy": {pods: []*corev1.Pod{injected("web", func(p *corev1.Pod) { p.Annotations["istio.io/rev"] = "1-29-1" })}},
		"a proxy that no pod tells of": {
			pods: []*corev1.Pod{istiodPod(runs)}, istiod: playedIstiod{proxies: []istiod.Proxy{proxy("vm.demo", 0)}},
			want: users{staying: []string{`proxy vm.demo of cluster "east"`}},
		},
		"an istiod that does not say": {
			pods: []*corev1.Pod{istiodPod(runs)}, istiod: silent,
			want: users{silent: []string{"istiod pod istiod-0"}},
		},
		"an istiod that cannot start has nobody": {pods: []*corev1.Pod{istiodPod(crashes)}, istiod: silent},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := pass()
			for _, p := range tt.pods {
				if err := s.remote.Create(t.Context(), p); err != nil {
					t.Fatal(err)
				}
				if len(p.Finalizers) > 0 {
					if err := s.remote.Delete(t.Context(), p); err != nil {
						t.Fatal(err)
					}
				}
			}
			s.state = &memberState{connection: &fleet.Member{}}
			r := &Reconciler{Client: testutil.HubClient(t), Istiod: &tt.istiod}
			for range 2 {
				got, err := r.usersOf(t.Context(), s, revision)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(users{})); diff != "" {
					t.Errorf("users (-want +got):\n%s", diff)
				}
			}
			if tt.istiod.asked > 1 {
				t.Errorf("istiod was asked %d times in one pass", tt.istiod.asked)
			}
		})
	}
}

func TestUsersInPeers(t *testing.T) {
	const revision = "1-28-3"
	pod := func(name string, change ...func(*corev1.Pod)) client.Object {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name, Annotations: map[string]string{
			"istio.io/rev": revision, "sidecar.istio.io/status": "{}"}}}
		for _, c := range change {
			c(p)
		}
		return p
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
		"a proxy that the peer's own istiod serves": {pods: []client.Object{istiodOf("istiod-0", revision), pod("web")}},
		"one for which the peer has no istiod":      {pods: []client.Object{istiodOf("istiod-0", "1-29-1"), pod("web")}, want: users{staying: []string{"demo/web of member west"}}},
		"such a one that stops":                     {pods: []client.Object{pod("web", stops)}, want: users{leaving: []string{"demo/web of member west"}}},
		"such a one that has ended":                 {pods: []client.Object{pod("web", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })}},
		"one of another revision":                   {pods: []client.Object{pod("web", func(p *corev1.Pod) { p.Annotations["istio.io/rev"] = "1-29-1" })}},
		"a peer that is not reached is not asked":   {pods: []client.Object{pod("web")}, notReached: true},
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
			connected := map[types.NamespacedName]*fleet.Member{}
			if !tt.notConnected {
				connected[client.ObjectKeyFromObject(west)] = &fleet.Member{Client: fake.NewClientBuilder().WithObjects(tt.pods...).Build()}
			}
			r := &Reconciler{Client: testutil.HubClient(t, west), Fleet: playedFleet{members: connected}}
			s := pass()
			s.state = &memberState{connection: &fleet.Member{}}
			got, err := r.usersOf(t.Context(), s, revision)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(users{})); diff != "" {
				t.Errorf("users (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSilence asks a person only about those who have not answered for as long as a gate may be unable to tell.
func TestSilence(t *testing.T) {
	for name, test := range map[string]struct {
		state meshv1alpha1.StageState
		since time.Duration
		want  meshv1alpha1.StageState
	}{
		"at first it is waited for":             {meshv1alpha1.StageProgressing, gate.InconclusiveAfter - time.Second, meshv1alpha1.StageProgressing},
		"then nobody knows":                     {meshv1alpha1.StageProgressing, gate.InconclusiveAfter, meshv1alpha1.StageInconclusive},
		"what is asked about stays asked about": {meshv1alpha1.StageInconclusive, 0, meshv1alpha1.StageInconclusive},
	} {
		t.Run(name, func(t *testing.T) {
			st := &meshv1alpha1.MemberRolloutStatus{State: test.state, Since: metav1.NewTime(testutil.Now.Add(-test.since))}
			if got := silence(st, testutil.Now); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}
