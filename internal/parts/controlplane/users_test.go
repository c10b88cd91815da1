package controlplane

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/member/membertest"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

func TestUsersOf(t *testing.T) {
	const revision = "1-28-3"
	injected := func(name string, change ...func(*corev1.Pod)) *corev1.Pod {
		return membertest.ProxyPod("demo", name, revision, change...)
	}
	stops := func(p *corev1.Pod) { p.Finalizers = []string{"test/stops"} }
	istiodPod := func(state corev1.ContainerState) *corev1.Pod {
		return membertest.IstiodPod("istiod-0", revision, func(p *corev1.Pod) {
			p.Status = corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{State: state}}}
		})
	}
	runs := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	crashes := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	answers := func(ids ...string) membertest.Istiod {
		var i membertest.Istiod
		for _, id := range ids {
			i.Connected = append(i.Connected, membertest.Proxy(id, 0))
		}
		return i
	}
	silent := membertest.Istiod{Err: errors.New("connection refused")}
	tests := map[string]struct {
		pods   []*corev1.Pod
		istiod membertest.Istiod
		want   users
	}{
		"nobody": {pods: []*corev1.Pod{istiodPod(runs)}},
		"a pod that it has injected": {
			pods:   []*corev1.Pod{istiodPod(runs), injected("web")},
			istiod: answers("web.demo"), want: users{staying: []string{"demo/web"}},
		},
		"a pod that it has injected, connected elsewhere": {
			pods: []*corev1.Pod{istiodPod(runs), injected("web")}, want: users{staying: []string{"demo/web"}},
		},
		"a pod that stops": {
			pods:   []*corev1.Pod{istiodPod(runs), injected("web", stops)},
			istiod: answers("web.demo"), want: users{leaving: []string{"demo/web"}},
		},
		"a pod of what istiod runs for a Gateway, which stops": {
			pods: []*corev1.Pod{istiodPod(runs), injected("gateway", stops, func(p *corev1.Pod) {
				delete(p.Annotations, "sidecar.istio.io/status")
				p.Labels = map[string]string{"gateway.istio.io/managed": "istio.io-gateway-controller"}
			})},
			istiod: answers("gateway.demo"), want: users{leaving: []string{"demo/gateway"}},
		},
		"a pod that has ended":   {pods: []*corev1.Pod{istiodPod(runs), injected("job", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })}},
		"a pod of another proxy": {pods: []*corev1.Pod{injected("web", func(p *corev1.Pod) { p.Annotations["istio.io/rev"] = "1-29-1" })}},
		"a proxy that no pod tells of": {
			pods: []*corev1.Pod{istiodPod(runs)}, istiod: answers("vm.demo"),
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
			remote := fake.NewClientBuilder().Build()
			for _, p := range tt.pods {
				testutil.Must(t, remote.Create(t.Context(), p))
				if len(p.Finalizers) > 0 {
					testutil.Must(t, remote.Delete(t.Context(), p))
				}
			}
			s, next := &Steps{Istiod: &tt.istiod}, membertest.Passes(t, testutil.Member("east"), remote)
			for passes := 1; passes <= 2; passes++ {
				got, err := s.usersOf(t.Context(), next(testutil.Now), revision)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(users{})); diff != "" {
					t.Errorf("users (-want +got):\n%s", diff)
				}
				if tt.istiod.Asked > passes {
					t.Errorf("istiod was asked %d times in %d passes", tt.istiod.Asked, passes)
				}
			}
		})
	}
}

// TestUsersOfARevisionThatIsNamed keeps a revision that nothing runs and something names.
func TestUsersOfARevisionThatIsNamed(t *testing.T) {
	pass := membertest.Pass(t, testutil.Member("east"), membertest.NamespaceOf("batch", "1-28-3"), membertest.NamespaceOf("demo", "prod"))
	s := &Steps{Istiod: &membertest.Istiod{Connected: []istiod.Proxy{}}}
	got, err := s.usersOf(t.Context(), pass, "1-28-3")
	if err != nil {
		t.Fatal(err)
	}
	want := users{staying: []string{"Namespace batch by its label istio.io/rev"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(users{})); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
}

// TestUsersThatAreLost does not wait for pods of nodes that do not answer, unless their proxies are connected.
func TestUsersThatAreLost(t *testing.T) {
	const revision = "1-28-3"
	lost := membertest.Leaving(2 * time.Minute)
	web := membertest.ProxyPod("demo", "web", revision, lost)
	for name, tt := range map[string]struct {
		pods   []client.Object
		istiod membertest.Istiod
		want   users
	}{
		"a pod that is late":            {pods: []client.Object{membertest.ProxyPod("demo", "web", revision, membertest.Leaving(time.Minute))}, want: users{leaving: []string{"demo/web"}}},
		"a pod of a node that is gone":  {pods: []client.Object{web}, want: users{lost: []string{"demo/web on node node-1"}}},
		"one whose proxy is connected":  {pods: []client.Object{web, membertest.IstiodPod("istiod-0", revision)}, istiod: membertest.Istiod{Connected: []istiod.Proxy{membertest.Proxy("web.demo", 0)}}, want: users{staying: []string{`proxy web.demo of cluster "east"`}, lost: []string{"demo/web on node node-1"}}},
		"an istiod of such a node":      {pods: []client.Object{membertest.IstiodPod("istiod-0", revision, lost)}, istiod: membertest.Istiod{Err: errors.New("no route to host")}},
		"an istiod that stops as usual": {pods: []client.Object{membertest.IstiodPod("istiod-0", revision, membertest.Leaving(0))}, istiod: membertest.Istiod{Err: errors.New("no route to host")}, want: users{silent: []string{"istiod pod istiod-0"}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Steps{Istiod: &tt.istiod}
			got, err := s.usersOf(t.Context(), membertest.Pass(t, testutil.Member("east"), tt.pods...), revision)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(users{})); diff != "" {
				t.Errorf("users (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCountPods counts what keeps a mesh from being deleted.
func TestCountPods(t *testing.T) {
	injected := func(name string, change ...func(*corev1.Pod)) client.Object {
		return membertest.ProxyPod("demo", name, "1-28-3", change...)
	}
	pods := []client.Object{
		injected("web"), injected("other-revision", func(p *corev1.Pod) { p.Annotations["istio.io/rev"] = "1-29-1" }),
		injected("stops", membertest.Leaving(0)),
		injected("gateway", func(p *corev1.Pod) {
			p.Annotations, p.Labels = nil, map[string]string{"gateway.istio.io/managed": "istio.io-gateway-controller"}
		}),
		// These do not count.
		injected("job", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }),
		injected("lost", membertest.Leaving(2*time.Minute)),
		injected("plain", func(p *corev1.Pod) { p.Annotations = nil }),
		membertest.IstiodPod("istiod-0", "1-28-3"),
		membertest.ProxyPod(testutil.ControlPlane, "istio-eastwestgateway-0", "1-28-3", func(p *corev1.Pod) {
			p.Labels = map[string]string{"istio": "eastwestgateway", "app": "istio-eastwestgateway-1-28-3"}
		}),
	}
	got, err := CountPods(t.Context(), membertest.Pass(t, testutil.Member("east"), pods...))
	if err != nil || got != 4 {
		t.Errorf("%d pods, %v, want 4", got, err)
	}
}
