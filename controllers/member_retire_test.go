package controllers

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/testutil"
	"github.com/meshfleet/meshfleet/internal/xds"
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
	istiod := func(state corev1.ContainerState) *corev1.Pod {
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
		"nobody": {pods: []*corev1.Pod{istiod(runs)}},
		"a pod that it has injected": {
			pods:   []*corev1.Pod{istiod(runs), injected("web")},
			istiod: playedIstiod{proxies: []xds.Proxy{proxy("web.demo", 0)}}, want: users{staying: []string{"demo/web"}},
		},
		"a pod that it has injected, connected elsewhere": {
			pods: []*corev1.Pod{istiod(runs), injected("web")}, want: users{staying: []string{"demo/web"}},
		},
		"a pod that stops": {
			pods:   []*corev1.Pod{istiod(runs), injected("web", stops)},
			istiod: playedIstiod{proxies: []xds.Proxy{proxy("web.demo", 0)}}, want: users{leaving: []string{"demo/web"}},
		},
		"a pod of what istiod runs for a Gateway, which stops": {
			pods: []*corev1.Pod{istiod(runs), injected("gateway", stops, func(p *corev1.Pod) {
				delete(p.Annotations, "sidecar.istio.io/status")
				p.Labels = map[string]string{"gateway.istio.io/managed": "istio.io-gateway-controller"}
			})},
			istiod: playedIstiod{proxies: []xds.Proxy{proxy("gateway.demo", 0)}}, want: users{leaving: []string{"demo/gateway"}},
		},
		"a pod that has ended":   {pods: []*corev1.Pod{istiod(runs), injected("job", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })}},
		"a pod of another proxy": {pods: []*corev1.Pod{injected("web", func(p *corev1.Pod) { p.Annotations["istio.io/rev"] = "1-29-1" })}},
		"a proxy that no pod tells of": {
			pods: []*corev1.Pod{istiod(runs)}, istiod: playedIstiod{proxies: []xds.Proxy{proxy("vm.demo", 0)}},
			want: users{staying: []string{`proxy vm.demo of cluster "east"`}},
		},
		"an istiod that does not say": {
			pods: []*corev1.Pod{istiod(runs)}, istiod: silent,
			want: users{staying: []string{"nobody knows whom: istiod pod istiod-0 does not answer"}},
		},
		"an istiod that cannot start has nobody": {pods: []*corev1.Pod{istiod(crashes)}, istiod: silent},
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
			r := &MeshMemberReconciler{Istiod: &tt.istiod}
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
