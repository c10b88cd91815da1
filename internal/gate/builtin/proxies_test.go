package builtin

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/gate/gatetest"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
)

func TestProxiesSynced(t *testing.T) {
	const (
		good = `{"proxy":"web-0.demo","resources":{"type.googleapis.com/envoy.config.cluster.v3.Cluster":{"sent":"a","acked":"a"},
			"type.googleapis.com/envoy.config.route.v3.RouteConfiguration":{}}}`
		slow = `{"proxy":"web-0.demo","resources":{"type.googleapis.com/envoy.config.cluster.v3.Cluster":{"sent":"b","acked":"a","sentTime":"2026-01-02T03:04:00Z"}}}`
		late = `{"proxy":"web-0.demo","resources":{"type.googleapis.com/envoy.config.cluster.v3.Cluster":{"sent":"b","acked":"a","sentTime":"2026-01-02T03:00:00Z"}}}`
		nack = `{"proxy":"web-0.demo","resources":{"type.googleapis.com/envoy.config.listener.v3.Listener":{"sent":"b","acked":"a","sentTime":"2026-01-02T03:04:00Z","lastError":"no such filter"}}}`
		bug  = `{"proxy":"istioctl.istio-system","resources":{"istio.io/debug/syncz":{"sent":"a"}}}`
	)
	ready := injectedPod{id: "web-0.demo", ready: true, since: now.Add(-time.Hour)}
	tests := map[string]struct {
		answers string
		pods    []injectedPod
		want    meshv1alpha1.Verdict
		words   string
	}{
		"no istiod answers":            {answers: `{}`, want: meshv1alpha1.VerdictInconclusive, words: "no istiod pod"},
		"no proxies":                   {answers: `{"a":[]}`, want: meshv1alpha1.VerdictPass, words: "no proxies yet"},
		"everything is acknowledged":   {answers: `{"a":[` + good + `],"b":[]}`, pods: []injectedPod{ready}, want: meshv1alpha1.VerdictPass, words: "proxies: 1"},
		"a client that debugs":         {answers: `{"a":[` + bug + `]}`, want: meshv1alpha1.VerdictPass, words: "no proxies yet"},
		"a push on its way":            {answers: `{"a":[` + slow + `]}`, pods: []injectedPod{ready}, want: meshv1alpha1.VerdictInconclusive, words: "web-0.demo has not acknowledged Cluster"},
		"a push of long ago":           {answers: `{"a":[` + late + `]}`, pods: []injectedPod{ready}, want: meshv1alpha1.VerdictFail, words: "has not acknowledged Cluster"},
		"a rejection is an answer":     {answers: `{"a":[` + nack + `]}`, pods: []injectedPod{ready}, want: meshv1alpha1.VerdictPass, words: "proxies: 1"},
		"what is left of a connection": {answers: `{"a":[` + late + `],"b":[` + good + `]}`, pods: []injectedPod{ready}, want: meshv1alpha1.VerdictPass, words: "proxies: 1"},
		"a proxy that has just come":   {answers: `{"a":[{"proxy":"web-0.demo"}]}`, pods: []injectedPod{ready}, want: meshv1alpha1.VerdictInconclusive, words: "just connected"},
		"a pod that is not connected":  {answers: `{"a":[]}`, pods: []injectedPod{ready}, want: meshv1alpha1.VerdictFail, words: "web-0.demo is not connected to any istiod pod"},
		"a proxyless pod that is idle": {answers: `{"a":[]}`, pods: []injectedPod{{id: "web-0.demo", ready: true, since: now.Add(-time.Hour), isProxyless: true}}, want: meshv1alpha1.VerdictPass, words: "no proxies yet"},
		"a proxyless pod that is behind": {answers: `{"a":[` + late + `]}`, pods: []injectedPod{{id: "web-0.demo", ready: true, isProxyless: true}},
			want: meshv1alpha1.VerdictFail, words: "has not acknowledged Cluster"},
		"a pod that has just got ready": {answers: `{"a":[]}`, pods: []injectedPod{{id: "web-0.demo", ready: true, since: now}}, want: meshv1alpha1.VerdictInconclusive, words: "not connected yet"},
		"the first pod is starting":     {answers: `{"a":[]}`, pods: []injectedPod{{id: "web-0.demo"}}, want: meshv1alpha1.VerdictInconclusive, words: "is starting"},
		"another pod is starting":       {answers: `{"a":[` + good + `]}`, pods: []injectedPod{ready, {id: "web-1.demo"}}, want: meshv1alpha1.VerdictPass, words: "proxies: 1"},
		"a pod whose proxy crashes": {answers: `{"a":[` + good + `]}`, pods: []injectedPod{ready, {id: "web-1.demo", trouble: "container istio-proxy crashes"}},
			want: meshv1alpha1.VerdictFail, words: "web-1.demo: container istio-proxy crashes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := gatetest.Subject()
			look := func() gate.Answer {
				return judgeProxies(m, gatetest.Decode[[]istiod.Proxy](t, test.answers), test.pods, now.Add(-time.Hour))
			}
			first := test.want
			if isOnItsWay := strings.HasPrefix(test.answers, `{"a":`) && first == meshv1alpha1.VerdictInconclusive; isOnItsWay {
				first = meshv1alpha1.VerdictPending
			}
			gatetest.Check(t, look(), first, test.words)
			gatetest.Check(t, look(), test.want, test.words)
		})
	}
}

func TestProxiesComeBackToANewIstiod(t *testing.T) {
	ready := []injectedPod{{id: "web-0.demo", ready: true, since: now.Add(-time.Hour)}}
	got := judgeProxies(gatetest.Subject(), gatetest.Decode[[]istiod.Proxy](t, `{"a":[]}`), ready, now.Add(-20*time.Second))
	gatetest.Check(t, got, meshv1alpha1.VerdictPending, "web-0.demo is not connected yet")
}

// TestProxiesOnTheirWay wants nothing to wait for proxies that only one of two looks finds behind: in a large mesh something
// is being sent to some proxy at each moment.
func TestProxiesOnTheirWay(t *testing.T) {
	const good = `{"proxy":"web-9.demo","resources":{"type.googleapis.com/envoy.config.cluster.v3.Cluster":{"sent":"a","acked":"a"}}}`
	behind := func(names ...string) string {
		for i, name := range names {
			names[i] = `{"proxy":"` + name + `","resources":{"type.googleapis.com/envoy.config.cluster.v3.Cluster":{"sent":"b","acked":"a","sentTime":"2026-01-02T03:04:00Z"}}}`
		}
		return `{"a":[` + strings.Join(append(names, good), ",") + `]}`
	}
	for name, test := range map[string]struct {
		looks []string
		stage meshv1alpha1.Stage
		last  meshv1alpha1.Verdict
		want  []meshv1alpha1.Verdict
	}{
		"others each time": {looks: []string{behind("a.demo", "b.demo"), behind("c.demo")},
			want: []meshv1alpha1.Verdict{meshv1alpha1.VerdictPending, meshv1alpha1.VerdictPass}},
		"one of them each time": {looks: []string{behind("a.demo", "b.demo"), behind("b.demo", "c.demo"), behind("b.demo"), behind("c.demo")},
			want: []meshv1alpha1.Verdict{meshv1alpha1.VerdictPending, meshv1alpha1.VerdictInconclusive, meshv1alpha1.VerdictInconclusive, meshv1alpha1.VerdictPass}},
		"after a Pass between batches": {looks: []string{behind("a.demo")}, last: meshv1alpha1.VerdictPass,
			want: []meshv1alpha1.Verdict{meshv1alpha1.VerdictPending}},
		"after a Pass while workloads soak": {looks: []string{behind("a.demo"), behind("a.demo")}, last: meshv1alpha1.VerdictPass, stage: meshv1alpha1.StageSoak,
			want: []meshv1alpha1.Verdict{meshv1alpha1.VerdictPass, meshv1alpha1.VerdictInconclusive}},
	} {
		t.Run(name, func(t *testing.T) {
			m := gatetest.Subject()
			if test.stage != "" {
				m.Stage = test.stage
			}
			results := []meshv1alpha1.GateResult{{Name: proxiesSyncedName, Verdict: test.last}}
			for i, look := range test.looks {
				g := gate.NewQuestion(proxiesSyncedName, time.Minute, func(_ context.Context, m *gate.Subject) (gate.Answer, error) {
					return judgeProxies(m, gatetest.Decode[[]istiod.Proxy](t, look), nil, now.Add(-time.Hour)), nil
				})
				results = gate.Evaluate(t.Context(), []gate.Gate{g}, *m, results, now.Add(time.Duration(i)*2*time.Second))
				if results[0].Verdict != test.want[i] {
					t.Errorf("look %d: %s: %s, want %s", i+1, results[0].Verdict, results[0].Message, test.want[i])
				}
			}
		})
	}
}

func TestInspect(t *testing.T) {
	waiting := func(reason string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
	}
	running := func(since time.Duration) corev1.ContainerState {
		return corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(now.Add(-since))}}
	}
	ended := func(code int32, ago time.Duration) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: "Error", FinishedAt: metav1.NewTime(now.Add(-ago))}}
	}
	tests := map[string]struct {
		age    time.Duration
		status corev1.ContainerStatus
		want   string
	}{
		"ready":                           {time.Hour, corev1.ContainerStatus{Name: "istio-proxy", Ready: true, State: running(time.Hour)}, ""},
		"starting":                        {30 * time.Second, corev1.ContainerStatus{Name: "istio-proxy", State: running(20 * time.Second)}, ""},
		"runs for long without readiness": {time.Hour, corev1.ContainerStatus{Name: "istio-proxy", State: running(2 * time.Minute)}, "runs but is not ready"},
		"in a crash loop": {10 * time.Second, corev1.ContainerStatus{Name: "istio-proxy", RestartCount: 3, State: waiting("CrashLoopBackOff"),
			LastTerminationState: ended(1, 5*time.Second)}, "container istio-proxy crashes: Error, exit code 1, 3 restarts"},
		"between two crashes": {time.Hour, corev1.ContainerStatus{Name: "istio-proxy", RestartCount: 2, State: running(2 * time.Second),
			LastTerminationState: ended(1, 5*time.Second)}, "crashes"},
		"the first restart": {time.Hour, corev1.ContainerStatus{Name: "istio-proxy", RestartCount: 1, State: running(2 * time.Second),
			LastTerminationState: ended(1, 5*time.Second)}, ""},
		"an image that was refused":    {20 * time.Second, corev1.ContainerStatus{Name: "istio-proxy", State: waiting("ErrImagePull")}, ""},
		"an image that does not exist": {40 * time.Second, corev1.ContainerStatus{Name: "istio-proxy", State: waiting("ImagePullBackOff")}, "does not start: ImagePullBackOff"},
		"an image that takes time":     {2 * time.Minute, corev1.ContainerStatus{Name: "istio-proxy", State: waiting("ContainerCreating")}, ""},
		"a volume that never comes":    {time.Hour, corev1.ContainerStatus{Name: "istio-proxy", State: waiting("ContainerCreating")}, "does not start: ContainerCreating"},
		"waits for another container":  {time.Hour, corev1.ContainerStatus{Name: "istio-proxy", State: waiting("PodInitializing")}, ""},
		"an injected init container":   {time.Hour, corev1.ContainerStatus{Name: "istio-init", State: waiting("CrashLoopBackOff")}, "istio-init crashes"},
		"the workload's own container": {time.Hour, corev1.ContainerStatus{Name: "app", State: waiting("CrashLoopBackOff")}, ""},
		"an init container that ended": {time.Hour, corev1.ContainerStatus{Name: "istio-init", State: ended(0, time.Minute)}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web-0", Namespace: "demo", CreationTimestamp: metav1.NewTime(now.Add(-test.age)),
				Annotations: map[string]string{"sidecar.istio.io/status": `{"initContainers":["istio-init"],"containers":["istio-proxy"]}`}}}
			p.Status.ContainerStatuses = []corev1.ContainerStatus{test.status}
			got := inspect(p, now)
			if got.id != "web-0.demo" || (got.trouble == "") != (test.want == "") || !strings.Contains(got.trouble, test.want) {
				t.Errorf("trouble of %s: %q, want %q", got.id, got.trouble, test.want)
			}
		})
	}
}

func TestUnreadySinceTheLatest(t *testing.T) {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(now.Add(-time.Hour))}}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(now.Add(-time.Second))}}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "istio-proxy",
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(now.Add(-time.Hour))}}}}
	if got := inspect(p, now).trouble; got != "" {
		t.Errorf("a proxy that got unready a second ago: %q, want nothing", got)
	}
}
