package member

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// listing is a cluster whose lists are answered by a function.
func listing(list func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error, objects ...client.Object) client.Client {
	return fake.NewClientBuilder().WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{List: list}).Build()
}

// TestWorldListsOnce wants what is read of the cluster to be read once in a pass, and anew in the next one.
func TestWorldListsOnce(t *testing.T) {
	lists := map[string]int{}
	c := listing(func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		kind := fmt.Sprintf("%T", list)
		if m, ok := list.(*metav1.PartialObjectMetadataList); ok {
			kind = m.Kind
		}
		lists[kind]++
		return c.List(ctx, list, opts...)
	}, &corev1.Pod{ObjectMeta: naming("demo", "bare")}, &corev1.Namespace{ObjectMeta: naming("", "demo")})
	ask := func(w *World) {
		t.Helper()
		pods, err := w.Pods(t.Context())
		if err != nil || len(pods) != 1 {
			t.Fatalf("pods %v, %v, want one", pods, err)
		}
	}
	name := func(w *World) {
		t.Helper()
		names, err := w.Names(t.Context())
		if want := []string{"Namespace demo", "Pod demo/bare"}; err != nil || !cmp.Equal(want, names.Of("prod")) {
			t.Fatalf("holders %v, %v, want %v", names.Of("prod"), err, want)
		}
	}
	w := NewWorld(c, istioSystem)
	if len(lists) > 0 {
		t.Errorf("lists %v before anything is asked, want none", lists)
	}
	ask(w)
	ask(w)
	if diff := cmp.Diff(map[string]int{"*v1.PodList": 1}, lists); diff != "" {
		t.Errorf("lists for pods (-want +got):\n%s", diff)
	}
	clear(lists)
	name(w)
	name(w)
	if diff := cmp.Diff(map[string]int{
		"NamespaceList": 1, "GatewayList": 1, "*v1.DeploymentList": 1, "*v1.StatefulSetList": 1, "*v1.DaemonSetList": 1,
		"*v1.CronJobList": 1, "*v1.JobList": 1, "*v1.PodList": 1,
	}, lists); diff != "" {
		t.Errorf("lists for names (-want +got):\n%s", diff)
	}
	clear(lists)
	next := NewWorld(c, istioSystem)
	ask(next)
	name(next)
	if lists["*v1.PodList"] != 2 || lists["NamespaceList"] != 1 {
		t.Errorf("lists %v in the next pass, want all of them again", lists)
	}
}

// TestWorldReadsAnEmptyClusterOnce tells nothing that was found from nothing that was read.
func TestWorldReadsAnEmptyClusterOnce(t *testing.T) {
	lists := 0
	w := NewWorld(listing(func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		lists++
		return c.List(ctx, list, opts...)
	}), istioSystem)
	for range 2 {
		if pods, err := w.Pods(t.Context()); err != nil || len(pods) > 0 {
			t.Errorf("pods %v, %v, want none", pods, err)
		}
	}
	if lists != 1 {
		t.Errorf("%d lists, want one", lists)
	}
}

// TestWorldAsksAgainWhatFailed must not take what could not be read for nothing.
func TestWorldAsksAgainWhatFailed(t *testing.T) {
	refuse := errors.New("no route")
	w := NewWorld(listing(func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		if refuse != nil {
			return refuse
		}
		return c.List(ctx, list, opts...)
	}, &corev1.Pod{ObjectMeta: naming("demo", "bare")}), istioSystem)
	if pods, err := w.Pods(t.Context()); !errors.Is(err, refuse) {
		t.Errorf("pods %v, %v, want the error", pods, err)
	}
	if names, err := w.Names(t.Context()); !errors.Is(err, refuse) {
		t.Errorf("names %v, %v, want the error", names, err)
	}
	refuse = nil
	if pods, err := w.Pods(t.Context()); err != nil || len(pods) != 1 {
		t.Errorf("pods %v, %v, want one", pods, err)
	}
	if names, err := w.Names(t.Context()); err != nil || len(names.Of("prod")) != 1 {
		t.Errorf("names %v, %v, want one", names, err)
	}
}

// TestWorldReadsEveryPage wants bounded answers, and all of them.
func TestWorldReadsEveryPage(t *testing.T) {
	const pages = 3
	w := NewWorld(listing(func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		o := (&client.ListOptions{}).ApplyOptions(opts)
		if o.Limit != page {
			t.Errorf("limit %d of %T, want %d", o.Limit, list, page)
		}
		n, _ := strconv.Atoi(o.Continue)
		item := naming("demo", strconv.Itoa(n))
		switch l := list.(type) {
		case *corev1.PodList:
			*l = corev1.PodList{Items: []corev1.Pod{{ObjectMeta: item}}}
		case *metav1.PartialObjectMetadataList:
			l.Items, l.Continue = []metav1.PartialObjectMetadata{{ObjectMeta: item}}, ""
		default:
			return c.List(ctx, list, opts...)
		}
		if n+1 < pages {
			list.SetContinue(strconv.Itoa(n + 1))
		}
		return nil
	}), istioSystem)
	pods, err := w.Pods(t.Context())
	testutil.Must(t, err)
	var got []string
	for _, p := range pods {
		got = append(got, p.Name)
	}
	if diff := cmp.Diff([]string{"0", "1", "2"}, got); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
	names, err := w.Names(t.Context())
	testutil.Must(t, err)
	if diff := cmp.Diff([]string{
		"Namespace demo/0", "Namespace demo/1", "Namespace demo/2", "Gateway demo/0", "Gateway demo/1", "Gateway demo/2",
		"Pod demo/0", "Pod demo/1", "Pod demo/2",
	}, names.Of("prod")); diff != "" {
		t.Errorf("holders (-want +got):\n%s", diff)
	}
}

// TestWorldKeepsWhatIsAskedOfPods leaves out of pods what is large and what nothing asks for, and nothing else.
func TestWorldKeepsWhatIsAskedOfPods(t *testing.T) {
	yes := true
	meta := metav1.ObjectMeta{
		Namespace: istioSystem, Name: "istiod-0", UID: "uid", CreationTimestamp: metav1.NewTime(testutil.Now),
		Labels:      map[string]string{"app": "istiod", istio.RevisionLabel: "1-29-1", "pod-template-hash": "5d4f"},
		Annotations: map[string]string{istio.InjectedAnnotation: "{}", istio.RevisionLabel: "1-29-1"},
		Finalizers:  []string{"test/leaves"}, DeletionTimestamp: &metav1.Time{Time: testutil.Now},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: KindReplicaSet, Name: "istiod-5d4f", Controller: &yes}},
	}
	status := corev1.PodStatus{
		Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		InitContainerStatuses: []corev1.ContainerStatus{{Name: "istio-proxy", RestartCount: 3}},
		ContainerStatuses:     []corev1.ContainerStatus{{Name: "discovery", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}},
	}
	full := corev1.Pod{ObjectMeta: *meta.DeepCopy(), Status: status, Spec: corev1.PodSpec{
		NodeName: "node", HostNetwork: true, InitContainers: []corev1.Container{{Name: "istio-proxy"}}, Containers: []corev1.Container{{Name: "discovery"}},
		Volumes: []corev1.Volume{{Name: "token"}}, Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
	}}
	full.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet", FieldsV1: metav1.NewFieldsV1("{}")}}
	want := corev1.Pod{ObjectMeta: meta, Status: status, Spec: corev1.PodSpec{NodeName: "node", HostNetwork: true}}
	pods, err := NewWorld(listing(func(_ context.Context, _ client.WithWatch, list client.ObjectList, _ ...client.ListOption) error {
		*list.(*corev1.PodList) = corev1.PodList{Items: []corev1.Pod{*full.DeepCopy()}}
		return nil
	}), istioSystem).Pods(t.Context())
	testutil.Must(t, err)
	if diff := cmp.Diff([]corev1.Pod{want}, pods); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
}

// TestASlimPodSaysTheSame asks a pod and what is kept of it what steps ask.
func TestASlimPodSaysTheSame(t *testing.T) {
	full := func(change func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: istioSystem, Name: "istiod-0", Labels: map[string]string{"app": "istiod"},
				Annotations: map[string]string{istio.InjectedAnnotation: "{}", istio.RevisionLabel: "1-29-1"}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "discovery"}}},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
				ContainerStatuses: []corev1.ContainerStatus{{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}},
		}
		change(p)
		return p
	}
	type said struct {
		Revision, ID                               string
		HasProxy, Finished, Ready, IsIstiod, Takes bool
	}
	ask := func(p *corev1.Pod) said {
		return said{istio.ProxyRevision(p), istio.ProxyID(p), istio.HasProxy(p), istio.HasFinished(p), istio.IsReady(p),
			istio.IsIstiod(p, istioSystem), istio.AcceptsProxies(p, time.Time{})}
	}
	for name, tt := range map[string]struct {
		change func(*corev1.Pod)
		want   said
	}{
		"one that serves": {func(*corev1.Pod) {}, said{Revision: "1-29-1", ID: "istiod-0.istio-system", HasProxy: true, Ready: true, IsIstiod: true, Takes: true}},
		"one that has ended": {func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded },
			said{ID: "istiod-0.istio-system", HasProxy: true, Finished: true, Ready: true, IsIstiod: true}},
		"one that does not start": {func(p *corev1.Pod) {
			p.Status.Conditions = nil
			p.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
		}, said{Revision: "1-29-1", ID: "istiod-0.istio-system", HasProxy: true, IsIstiod: true}},
		"one of a Gateway": {func(p *corev1.Pod) {
			p.Namespace, p.Labels = "demo", map[string]string{istio.ManagedGatewayLabel: "istio.io-gateway-controller"}
			delete(p.Annotations, istio.InjectedAnnotation)
		}, said{Revision: "1-29-1", ID: "istiod-0.demo", HasProxy: true, Ready: true, Takes: true}},
	} {
		t.Run(name, func(t *testing.T) {
			p := full(tt.change)
			kept := slim(p)
			if diff := cmp.Diff(tt.want, ask(&kept)); diff != "" {
				t.Errorf("what is kept says (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.want, ask(p)); diff != "" {
				t.Errorf("the pod says (-want +got):\n%s", diff)
			}
		})
	}
}
