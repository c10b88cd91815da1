package preflight

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func quota(hard, used corev1.ResourceList, scopes ...corev1.ResourceQuotaScope) *corev1.ResourceQuota {
	return &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "limits", Namespace: controlPlane},
		Spec:       corev1.ResourceQuotaSpec{Hard: hard, Scopes: scopes}, Status: corev1.ResourceQuotaStatus{Hard: hard, Used: used},
	}
}

func amounts(pairs ...string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		out[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return out
}

func TestRoom(t *testing.T) {
	const noNode = "Deployment istiod-1-29-1 find no node with 500m CPU and 2Gi memory left: add a node, or lower the requests or replicas in the values"
	fits := []client.Object{infra("a", "2", "3Gi"), infra("b", "2", "3Gi")}
	cases := map[string]struct {
		cluster []client.Object
		want    []string
	}{
		"no node":                      {want: []string{"2 of 2 pods of " + noNode}},
		"a node for each":              {cluster: fits},
		"one node for both":            {cluster: []client.Object{infra("a", "1", "4Gi")}},
		"too little CPU":               {cluster: []client.Object{infra("a", "900m", "8Gi")}, want: []string{"1 of 2 pods of " + noNode}},
		"what runs takes its requests": {cluster: append(fits, running("x", "a", "100m", "2Gi")), want: []string{"1 of 2 pods of " + noNode}},
		"what has ended takes nothing": {cluster: append(fits, func() *corev1.Pod {
			p := running("x", "a", "2", "2Gi")
			p.Status.Phase = corev1.PodSucceeded
			return p
		}())},
		"a node without the label":      {cluster: []client.Object{infra("a", "4", "8Gi", func(n *corev1.Node) { n.Labels = nil })}, want: []string{"2 of 2 pods of " + noNode}},
		"a taint that is not tolerated": {cluster: []client.Object{infra("a", "4", "8Gi", func(n *corev1.Node) { n.Spec.Taints[0].Key = "gpu" })}, want: []string{"2 of 2 pods of " + noNode}},
		"a taint that only prefers others": {cluster: []client.Object{infra("a", "4", "8Gi", func(n *corev1.Node) {
			n.Spec.Taints[0] = corev1.Taint{Key: "gpu", Effect: corev1.TaintEffectPreferNoSchedule}
		})}},
		"a node that is cordoned":  {cluster: []client.Object{infra("a", "4", "8Gi", func(n *corev1.Node) { n.Spec.Unschedulable = true })}, want: []string{"2 of 2 pods of " + noNode}},
		"a node that is not ready": {cluster: []client.Object{infra("a", "4", "8Gi", func(n *corev1.Node) { n.Status.Conditions = nil })}, want: []string{"2 of 2 pods of " + noNode}},
		"a node of Windows": {cluster: []client.Object{infra("a", "4", "8Gi", func(n *corev1.Node) { n.Labels[corev1.LabelOSStable] = "windows" })},
			want: []string{"2 of 2 pods of " + noNode}},
		"a node of Windows whose label was taken off": {cluster: []client.Object{infra("a", "4", "8Gi", func(n *corev1.Node) { n.Status.NodeInfo.OperatingSystem = "windows" })},
			want: []string{"2 of 2 pods of " + noNode}},
		"a node of Linux by its label": {cluster: []client.Object{infra("a", "4", "8Gi", func(n *corev1.Node) { n.Labels[corev1.LabelOSStable] = "linux" })}},
		"a node full of pods": {cluster: []client.Object{infra("a", "4", "8Gi", func(n *corev1.Node) {
			n.Status.Allocatable[corev1.ResourcePods] = resource.MustParse("1")
		})}, want: []string{"1 of 2 pods of " + noNode}},
		"a quota with room": {cluster: append(fits, quota(amounts("pods", "10", "requests.memory", "8Gi"), amounts("pods", "8", "requests.memory", "4Gi")))},
		"a quota of pods": {cluster: append(fits, quota(amounts("pods", "10"), amounts("pods", "9"))),
			want: []string{"ResourceQuota istio-system/limits allows 10 of pods: 9 used, 2 more needed: raise it"}},
		"a quota of memory": {cluster: append(fits, quota(amounts("requests.memory", "5Gi"), amounts("requests.memory", "2Gi"))),
			want: []string{"ResourceQuota istio-system/limits allows 5Gi of requests.memory: 2Gi used, 4Gi more needed: raise it"}},
		"a quota of limits": {cluster: append(fits, quota(amounts("limits.memory", "5Gi"), amounts("limits.memory", "2Gi"))),
			want: []string{"ResourceQuota istio-system/limits allows 5Gi of limits.memory: 2Gi used, 4Gi more needed: raise it"}},
		"a quota of Deployments": {cluster: append(fits, quota(amounts("count/deployments.apps", "2"), amounts("count/deployments.apps", "2"))),
			want: []string{"ResourceQuota istio-system/limits allows 2 of count/deployments.apps: 2 used, 1 more needed: raise it"}},
		"a quota of load balancers": {cluster: append(fits, quota(amounts("services.loadbalancers", "1"), amounts("services.loadbalancers", "1"))),
			want: []string{"ResourceQuota istio-system/limits allows 1 of services.loadbalancers: 1 used, 1 more needed: raise it"}},
		"a quota of pods that end": {cluster: append(fits, quota(amounts("pods", "0"), amounts("pods", "0"), corev1.ResourceQuotaScopeTerminating))},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := subject(t, allowed{}, c.cluster...)
			m.After = append(m.After, object(t, istiod), object(t, `{apiVersion: v1, kind: Service, metadata: {name: new, namespace: istio-system}, spec: {type: LoadBalancer}}`))
			f, err := room(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, f.Problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRoomCountsWhatIsAdded(t *testing.T) {
	m := subject(t, allowed{}, infra("a", "8", "4Gi"))
	m.After = append(m.After, object(t, istiod))
	m.Before = m.After
	if f, err := room(t.Context(), m); err != nil || len(f.Problems) > 0 || f.Note != "room for 0 pods on 1 nodes, 0 quotas" {
		t.Errorf("what is there already needs room: %+v, %v", f, err)
	}
	m.Before = nil
	m.After = append(m.After, object(t, `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: istiod-1-29-1, namespace: istio-system}
spec: {minReplicas: 3, scaleTargetRef: {kind: Deployment, name: istiod-1-29-1}}`))
	if f, err := room(t.Context(), m); err != nil || len(f.Problems) != 1 || f.Problems[0][:6] != "1 of 3" {
		t.Errorf("the autoscaler's minimum does not count: %+v, %v", f, err)
	}
}

func TestRequests(t *testing.T) {
	container := func(cpu string, sidecar bool) corev1.Container {
		c := corev1.Container{Resources: corev1.ResourceRequirements{Requests: amounts("cpu", cpu)}}
		if sidecar {
			c.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
		}
		return c
	}
	cases := map[string]struct {
		spec corev1.PodSpec
		want int64
	}{
		"containers add up": {corev1.PodSpec{Containers: []corev1.Container{container("100m", false), container("50m", false)}}, 150},
		"a greater start counts": {corev1.PodSpec{
			InitContainers: []corev1.Container{container("300m", false)}, Containers: []corev1.Container{container("100m", false)}}, 300},
		"sidecars run beside both": {corev1.PodSpec{
			InitContainers: []corev1.Container{container("20m", true), container("90m", false)},
			Containers:     []corev1.Container{container("100m", false)}, Overhead: amounts("cpu", "5m")}, 125},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got, _ := requests(&c.spec); got != c.want {
				t.Errorf("got %dm, want %dm", got, c.want)
			}
		})
	}
}
