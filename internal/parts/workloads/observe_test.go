package workloads

import (
	"context"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/member"
)

func TestObserve(t *testing.T) {
	finished := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "done"}, Status: corev1.PodStatus{Phase: corev1.PodSucceeded}}
	budget := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "none"}}
	c := fake.NewClientBuilder().WithObjects(append(meshed(former), finished, budget)...).Build()
	w, err := Observe(context.Background(), member.NewWorld(c, istioSystem), request())
	if err != nil {
		t.Fatal(err)
	}
	wantPods := []Pod{{
		Namespace: "demo", Name: "echo-1-x", Owner: Reference{Kind: member.KindReplicaSet, Namespace: "demo", Name: "echo-1"}, HasProxy: true, Revision: former,
	}}
	if diff := cmp.Diff(wantPods, w.Pods); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
	if got := root(w.Pods[0], w.ReplicaSets); got != echo {
		t.Errorf("the pod belongs to %s, want %s", got, echo)
	}
	if o := w.Workloads[echo]; !o.IsComplete() || o.Desired != 1 {
		t.Errorf("workload %+v, want it complete with one replica", o)
	}
	if w.Namespaces["demo"]["istio-injection"] != "enabled" {
		t.Errorf("namespaces %v, want the labels of demo", w.Namespaces)
	}
	if len(w.Budgets) != 1 || !w.Budgets[0].Selector.Empty() && w.Budgets[0].Selector.String() != "" {
		t.Errorf("budgets %v, want one that selects nothing", w.Budgets)
	}
}

func TestObserveReadsEveryPage(t *testing.T) {
	const pages = 3
	c := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			pods, isPods := list.(*corev1.PodList)
			if !isPods {
				return c.List(ctx, list, opts...)
			}
			o := (&client.ListOptions{}).ApplyOptions(opts)
			if o.Limit == 0 {
				t.Error("an answer is not bounded")
			}
			n, _ := strconv.Atoi(o.Continue)
			*pods = corev1.PodList{Items: []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: strconv.Itoa(n)}}}}
			if n+1 < pages {
				pods.Continue = strconv.Itoa(n + 1)
			}
			return nil
		},
	}).Build()
	w, err := Observe(context.Background(), member.NewWorld(c, istioSystem), request())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range w.Pods {
		got = append(got, p.Name)
	}
	if diff := cmp.Diff([]string{"0", "1", "2"}, got); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
}

// TestObserveReadsPodsInFull wants nothing to be missing of a pod in what a World keeps of it.
func TestObserveReadsPodsInFull(t *testing.T) {
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 2, Reason: "Error"}}
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "demo", Name: "echo-1-x", UID: "uid", CreationTimestamp: metav1.NewTime(now),
			Labels:          map[string]string{"app": "echo", istio.RevisionLabel: "prod", injectKey: "true"},
			Annotations:     map[string]string{istio.InjectedAnnotation: "{}", istio.RevisionLabel: former},
			OwnerReferences: []metav1.OwnerReference{controller("apps/v1", "ReplicaSet", "echo-1")},
			Finalizers:      []string{"test/leaves"}, DeletionTimestamp: &metav1.Time{Time: now},
		},
		Spec: corev1.PodSpec{NodeName: "node-1", HostNetwork: true, Containers: []corev1.Container{{Name: "app"}}, Volumes: []corev1.Volume{{Name: "token"}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "app", RestartCount: crashes, LastTerminationState: ended}},
		},
	}
	want := Pod{
		Namespace: "demo", Name: "echo-1-x", UID: "uid", Created: now, Labels: p.Labels, HasProxy: true, Revision: former, Ready: true, Leaves: now, Node: "node-1",
		Owner:     Reference{Kind: member.KindReplicaSet, Namespace: "demo", Name: "echo-1"},
		Injection: Marks{Revision: "prod", In: true, Labelled: true, HostNetwork: true}, Crash: "container app does not stay up: exit code 2, Error",
	}
	c := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if pods, isPods := list.(*corev1.PodList); isPods {
				*pods = corev1.PodList{Items: []corev1.Pod{*p.DeepCopy()}}
				return nil
			}
			return c.List(ctx, list, opts...)
		},
	}).Build()
	w, err := Observe(context.Background(), member.NewWorld(c, istioSystem), request())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Pod{want}, w.Pods); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
}

func TestReadDeployment(t *testing.T) {
	graceful := corev1.Container{
		Name: "app", ReadinessProbe: &corev1.Probe{}, Lifecycle: &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{}},
	}
	two := int32(2)
	tests := map[string]struct {
		change func(*appsv1.Deployment)
		want   func(*Workload)
	}{
		"finds nothing wrong with two graceful replicas": {},
		"names what is fragile": {
			change: func(d *appsv1.Deployment) {
				d.Spec.Strategy.Type = appsv1.RecreateDeploymentStrategyType
				d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app"}}
			},
			want: func(w *Workload) {
				w.FragileUpdate = []string{"strategy Recreate stops all replicas first"}
				w.FragilePods = []string{"no preStop delay", "no readiness probe"}
			},
		},
		"sees a pause": {
			change: func(d *appsv1.Deployment) { d.Spec.Paused = true },
			want:   func(w *Workload) { w.Held = "is paused" },
		},
		"sees conditions": {
			change: func(d *appsv1.Deployment) {
				d.Status.Conditions = []appsv1.DeploymentCondition{
					{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded", Message: "late"},
					{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: "quota"},
				}
			},
			want: func(w *Workload) { w.Stuck, w.Obstacle = "ProgressDeadlineExceeded: late", "FailedCreate: quota" },
		},
		"sees that the controller is behind": {
			change: func(d *appsv1.Deployment) { d.Generation = 2 },
			want:   func(w *Workload) { w.Settled = false },
		},
		"knows the operator's own by label and namespace": {
			change: func(d *appsv1.Deployment) {
				d.Namespace, d.Labels = istioSystem, map[string]string{"mesh.meshfleet.io/installation": "x.y"}
			},
			want: func(w *Workload) { w.Namespace, w.Own = istioSystem, true },
		},
		"knows what istiod makes for a Gateway, and which istiod": {
			change: func(d *appsv1.Deployment) {
				d.Labels = map[string]string{"gateway.istio.io/managed": "x"}
				d.OwnerReferences = []metav1.OwnerReference{{APIVersion: "gateway.networking.k8s.io/v1", Kind: "Gateway", Name: "web"}}
				d.Spec.Template.Annotations = map[string]string{"istio.io/rev": former}
			},
			want: func(w *Workload) { w.Gateway, w.Rendered = "web", former },
		},
		"leaves alone what istiod makes for something else": {
			change: func(d *appsv1.Deployment) {
				d.Labels = map[string]string{"gateway.istio.io/managed": "x"}
				d.OwnerReferences = []metav1.OwnerReference{{APIVersion: "example.com/v1", Kind: "Gateway", Name: "web"}}
			},
			want: func(w *Workload) { w.Own = true },
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: "echo", Generation: 1}}
			d.Spec.Replicas = &two
			d.Spec.Template.Spec.Containers = []corev1.Container{graceful}
			d.Status.ObservedGeneration = 1
			want := Workload{Reference: echo, Settled: true, Desired: 2, Evictable: 1}
			if tt.change != nil {
				tt.change(d)
			}
			if tt.want != nil {
				tt.want(&want)
			}
			if diff := cmp.Diff(want, readDeployment(d, istioSystem)); diff != "" {
				t.Errorf("workload (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadHeldUpdates(t *testing.T) {
	partition := int32(2)
	set := &appsv1.StatefulSet{}
	set.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{Partition: &partition}
	if w := readStatefulSet(set, ""); w.Held == "" {
		t.Error("a partition does not hold the update back")
	}
	set.Spec.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{Type: appsv1.OnDeleteStatefulSetStrategyType}
	if w := readStatefulSet(set, ""); w.Held == "" || !slices.Contains(w.FragileUpdate, "one replica and no surge") {
		t.Errorf("StatefulSet %+v, want it held and fragile", w)
	}
	daemons := &appsv1.DaemonSet{}
	daemons.Spec.UpdateStrategy.Type = appsv1.OnDeleteDaemonSetStrategyType
	if w := readDaemonSet(daemons, ""); w.Held == "" {
		t.Error("OnDelete does not hold the DaemonSet back")
	}
}

func TestCrash(t *testing.T) {
	waiting := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 2, Reason: "Error"}}
	const found = "container istio-proxy does not stay up: exit code 2, Error"
	tests := map[string]struct {
		status corev1.ContainerStatus
		want   string
	}{
		"ends again and again": {status: corev1.ContainerStatus{RestartCount: 3, State: waiting, LastTerminationState: ended}, want: found},
		"ended twice":          {status: corev1.ContainerStatus{RestartCount: 2, State: waiting, LastTerminationState: ended}},
		"runs again": {status: corev1.ContainerStatus{RestartCount: 3, LastTerminationState: ended,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}},
		"has never run": {status: corev1.ContainerStatus{State: waiting}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.status.Name = "istio-proxy"
			for where, s := range map[string]corev1.PodStatus{
				"native sidecar": {InitContainerStatuses: []corev1.ContainerStatus{tt.status}},
				"sidecar":        {ContainerStatuses: []corev1.ContainerStatus{tt.status}},
			} {
				if got := crash(s); got != tt.want {
					t.Errorf("%s: %q, want %q", where, got, tt.want)
				}
			}
		})
	}
}

func TestReadConsent(t *testing.T) {
	consent := map[string]string{"mesh.meshfleet.io/restart-method": "Evict"}
	for name, tt := range map[string]struct {
		own, template map[string]string
		want          bool
	}{
		"none":              {},
		"of the object":     {own: consent, want: true},
		"of its template":   {template: consent, want: true},
		"of another method": {own: map[string]string{"mesh.meshfleet.io/restart-method": "RolloutRestart"}},
	} {
		set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Annotations: tt.own}}
		set.Spec.Template.Annotations = tt.template
		if got := readStatefulSet(set, "").Consents; got != tt.want {
			t.Errorf("%s: %t, want %t", name, got, tt.want)
		}
		if got := readPod(&corev1.Pod{ObjectMeta: set.Spec.Template.ObjectMeta}).Consents; got != (tt.template != nil) {
			t.Errorf("%s: a pod of the template: %t", name, got)
		}
	}
}
