package workloads

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/meshfleet/meshfleet/internal/member"
)

func number(n int) *intstr.IntOrString { v := intstr.FromInt(n); return &v }

func percent(s string) *intstr.IntOrString { v := intstr.FromString(s); return &v }

func TestFragileDeployment(t *testing.T) {
	const all = "the update may stop all 2 replicas at the same time"
	tests := map[string]struct {
		replicas int32
		strategy appsv1.DeploymentStrategy
		want     []string
	}{
		"one replica is replaced by one that serves": {replicas: 1},
		"one replica without surge": {
			replicas: 1, strategy: rollingUpdate(number(0), number(1)), want: []string{"one replica and no surge"},
		},
		"one replica without surge, in percent": {
			replicas: 1, strategy: rollingUpdate(percent("0%"), nil), want: []string{"one replica and no surge"},
		},
		"one replica that need not be replaced first": {
			replicas: 1, strategy: rollingUpdate(nil, number(1)),
			want: []string{"one replica, which may stop before the new one serves"},
		},
		"one that is rounded down to none": {replicas: 1, strategy: rollingUpdate(nil, percent("90%"))},
		"two of which one stays":           {replicas: 2, strategy: rollingUpdate(number(0), number(1))},
		"two of which none stays":          {replicas: 2, strategy: rollingUpdate(nil, percent("100%")), want: []string{all}},
		"two of which more than all may go": {
			replicas: 2, strategy: rollingUpdate(number(1), number(7)), want: []string{all},
		},
		"Recreate": {
			replicas: 3, strategy: appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType},
			want: []string{"strategy Recreate stops all replicas first"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: &tt.replicas, Strategy: tt.strategy}}
			if diff := cmp.Diff(tt.want, deploymentReplacement(d).fragile()); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}

func rollingUpdate(surge, unavailable *intstr.IntOrString) appsv1.DeploymentStrategy {
	return appsv1.DeploymentStrategy{RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: surge, MaxUnavailable: unavailable}}
}

func TestFragileStatefulSet(t *testing.T) {
	tests := map[string]struct {
		replicas    int32
		unavailable *intstr.IntOrString
		want        []string
	}{
		"one replica":      {replicas: 1, want: []string{"one replica and no surge"}},
		"one after one":    {replicas: 2},
		"all of two":       {replicas: 2, unavailable: percent("60%"), want: []string{"the update may stop all 2 replicas at the same time"}},
		"all but one stay": {replicas: 3, unavailable: number(1)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Replicas: &tt.replicas}}
			s.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{MaxUnavailable: tt.unavailable}
			if diff := cmp.Diff(tt.want, statefulSetReplacement(s).fragile()); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFragileDaemonSet(t *testing.T) {
	tests := map[string]struct {
		nodes  int32
		update *appsv1.RollingUpdateDaemonSet
		want   []string
	}{
		"node after node": {nodes: 3},
		"one node":        {nodes: 1, want: []string{"one replica and no surge"}},
		"one node with surge": {
			nodes: 1, update: &appsv1.RollingUpdateDaemonSet{MaxSurge: number(1), MaxUnavailable: number(0)},
		},
		"all nodes": {
			nodes: 3, update: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: percent("100%")},
			want: []string{"the update may stop all 3 replicas at the same time"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := &appsv1.DaemonSet{Status: appsv1.DaemonSetStatus{DesiredNumberScheduled: tt.nodes}}
			d.Spec.UpdateStrategy.RollingUpdate = tt.update
			if diff := cmp.Diff(tt.want, daemonSetReplacement(d).fragile()); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFragilePod(t *testing.T) {
	zero, ten := int64(0), int64(10)
	tests := map[string]struct {
		change func(*corev1.PodSpec)
		want   []string
	}{
		"nothing is wrong": {},
		"it has neither delay nor probe": {
			change: func(s *corev1.PodSpec) { s.Containers[0] = corev1.Container{Name: "app"} },
			want:   []string{"no preStop delay", "no readiness probe"},
		},
		"only the proxy has a delay": {
			change: func(s *corev1.PodSpec) {
				s.Containers = append(s.Containers, s.Containers[0])
				s.Containers[1].Name = "istio-proxy"
				s.Containers[0].Lifecycle = nil
			},
			want: []string{"no preStop delay"},
		},
		"a gateway has the proxy only": {
			change: func(s *corev1.PodSpec) { s.Containers = []corev1.Container{{Name: "istio-proxy"}} },
		},
		"it sleeps until it is killed": {
			change: func(s *corev1.PodSpec) { s.Containers[0].Lifecycle = sleep(30) },
			want:   []string{"its preStop delay of 30s takes all of its grace period of 30s"},
		},
		"a command sleeps until it is killed": {
			change: func(s *corev1.PodSpec) {
				s.TerminationGracePeriodSeconds, s.Containers[0].Lifecycle = &ten, command("/bin/sleep", "15s")
			},
			want: []string{"its preStop delay of 15s takes all of its grace period of 10s"},
		},
		"a shell sleeps until it is killed": {
			change: func(s *corev1.PodSpec) {
				s.TerminationGracePeriodSeconds, s.Containers[0].Lifecycle = &ten, command("sh", "-c", "sleep 15")
			},
			want: []string{"its preStop delay of 15s takes all of its grace period of 10s"},
		},
		"a script cannot be told": {
			change: func(s *corev1.PodSpec) { s.Containers[0].Lifecycle = command("/drain.sh") },
		},
		"an empty command cannot be told": {
			change: func(s *corev1.PodSpec) { s.Containers[0].Lifecycle = command("sh", "-c", "") },
		},
		"it has no time at all": {
			change: func(s *corev1.PodSpec) { s.TerminationGracePeriodSeconds = &zero },
			want:   []string{"a grace period of 0s kills it at once"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := &corev1.PodSpec{Containers: []corev1.Container{{Name: "app", ReadinessProbe: &corev1.Probe{}, Lifecycle: sleep(5)}}}
			if tt.change != nil {
				tt.change(s)
			}
			if diff := cmp.Diff(tt.want, fragilePod(s)); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}

func sleep(seconds int64) *corev1.Lifecycle {
	return &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: seconds}}}
}

func command(words ...string) *corev1.Lifecycle {
	return &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: words}}}
}

func TestFragileWorkloads(t *testing.T) {
	bad := with(func(w *Workload) { w.FragilePods = []string{"no preStop delay"} })
	out := with(func(w *Workload) { w.Injection.Out = true })
	world := clusterWith(
		workload(member.KindDeployment, "shop", "a", bad), deployment("b", bad), deployment("c"), deployment("d", bad, out),
		deployment("outside", bad, pods("", "")),
	)
	want := []Fragility{
		{Workload: Reference{Kind: member.KindDeployment, Namespace: "demo", Name: "b"}, Reasons: []string{"no preStop delay"}},
		{Workload: Reference{Kind: member.KindDeployment, Namespace: "shop", Name: "a"}, Reasons: []string{"no preStop delay"}},
	}
	if diff := cmp.Diff(want, FragileWorkloads(world, request())); diff != "" {
		t.Errorf("fragile (-want +got):\n%s", diff)
	}
}

func TestEvictable(t *testing.T) {
	tests := map[string]struct {
		replacement replacement
		want        int32
	}{
		"as many as an update takes away":      {replacement{desired: 10, fewer: 3}, 3},
		"one when an update takes none away":   {replacement{desired: 10, more: 3}, 1},
		"never all":                            {replacement{desired: 3, fewer: 3}, 2},
		"the only one":                         {replacement{desired: 1, fewer: 1}, 1},
		"one by one when an update stops them": {replacement{desired: 3, recreates: true}, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.replacement.evictable(); got != tt.want {
				t.Errorf("%d pods may be evicted, want %d", got, tt.want)
			}
		})
	}
}

func TestFragileWhenEvicted(t *testing.T) {
	one := with(func(w *Workload) { w.Desired, w.Existing, w.Updated, w.Available = 1, 1, 1, 1 })
	two := with(func(w *Workload) { w.FragileUpdate = []string{"the update may stop all 2 replicas at the same time"} })
	world := clusterWith(deployment("a", one, pods(former)), deployment("b", two))
	want := []Fragility{{
		Workload: Reference{Kind: member.KindDeployment, Namespace: "demo", Name: "a"}, Reasons: []string{"one replica, which is evicted before another one runs"},
	}}
	if diff := cmp.Diff(want, FragileWorkloads(world, request(evicting))); diff != "" {
		t.Errorf("fragile (-want +got):\n%s", diff)
	}
}
