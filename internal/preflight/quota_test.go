package preflight

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	gatewayService = `
apiVersion: v1
kind: Service
metadata: {name: gateway, namespace: istio-system}
spec: {type: LoadBalancer, ports: [{name: a, port: 1}, {name: b, port: 2}, {name: c, port: 3}, {name: d, port: 4, nodePort: 30000}]}`
	autoscaler = `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: istiod-1-29-1, namespace: istio-system}
spec: {minReplicas: 1, scaleTargetRef: {kind: Deployment, name: istiod-1-29-1}}`
)

// TestQuotaCountsWhatIsAdded wants every kind of object counted by the names that quotas have for it.
func TestQuotaCountsWhatIsAdded(t *testing.T) {
	classes := func(operator corev1.ScopeSelectorOperator, values ...string) *corev1.ResourceQuota {
		q := quota(amounts("pods", "1"), amounts("pods", "0"))
		q.Spec.ScopeSelector = &corev1.ScopeSelector{MatchExpressions: []corev1.ScopedResourceSelectorRequirement{
			{ScopeName: corev1.ResourceQuotaScopePriorityClass, Operator: operator, Values: values},
		}}
		return q
	}
	over := func(text string) []string {
		return []string{"ResourceQuota istio-system/limits allows " + text + ": raise it"}
	}
	noPods := over("1 of pods: 0 used, 2 more needed")
	cases := map[string]struct {
		quota *corev1.ResourceQuota
		live  []client.Object
		want  []string
	}{
		"node ports of a load balancer": {quota: quota(amounts("services.nodeports", "5"), amounts("services.nodeports", "3")),
			want: over("5 of services.nodeports: 3 used, 4 more needed")},
		"node ports that suffice": {quota: quota(amounts("services.nodeports", "7"), amounts("services.nodeports", "3"))},
		"autoscalers": {quota: quota(amounts("count/horizontalpodautoscalers.autoscaling", "1"), amounts("count/horizontalpodautoscalers.autoscaling", "1")),
			want: over("1 of count/horizontalpodautoscalers.autoscaling: 1 used, 1 more needed")},
		"ConfigMaps, by count": {quota: quota(amounts("count/configmaps", "2"), amounts("count/configmaps", "1")),
			want: over("2 of count/configmaps: 1 used, 2 more needed")},
		"ConfigMaps, by name": {quota: quota(amounts("configmaps", "2"), amounts("configmaps", "1")),
			want: over("2 of configmaps: 1 used, 2 more needed")},
		"Secrets": {quota: quota(amounts("secrets", "1"), amounts("secrets", "1")), want: over("1 of secrets: 1 used, 1 more needed")},
		"roles": {quota: quota(amounts("count/roles.rbac.authorization.k8s.io", "0"), amounts("count/roles.rbac.authorization.k8s.io", "0")),
			want: over("0 of count/roles.rbac.authorization.k8s.io: 0 used, 1 more needed")},
		"ReplicaSets of Deployments": {quota: quota(amounts("count/replicasets.apps", "3"), amounts("count/replicasets.apps", "3")),
			want: over("3 of count/replicasets.apps: 3 used, 1 more needed")},
		"pods, by count": {quota: quota(amounts("count/pods", "3"), amounts("count/pods", "3")), want: over("3 of count/pods: 3 used, 2 more needed")},
		"what is exceeded already and not needed": {quota: quota(amounts("persistentvolumeclaims", "1"), amounts("persistentvolumeclaims", "4"))},
		"an object that is there": {quota: quota(amounts("configmaps", "2"), amounts("configmaps", "1")),
			live: []client.Object{&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: controlPlane}}}},
		"objects of another namespace": {quota: func() *corev1.ResourceQuota {
			q := quota(amounts("configmaps", "0"), amounts("configmaps", "0"))
			q.Namespace = "demo"
			return q
		}()},
		"objects in a quota with a scope": {quota: quota(amounts("count/configmaps", "0"), amounts("count/configmaps", "0"), corev1.ResourceQuotaScopeNotTerminating)},
		"pods without a deadline":         {quota: quota(amounts("pods", "1"), amounts("pods", "0"), corev1.ResourceQuotaScopeNotTerminating), want: noPods},
		"pods with requests":              {quota: quota(amounts("pods", "1"), amounts("pods", "0"), corev1.ResourceQuotaScopeNotBestEffort), want: noPods},
		"pods without requests":           {quota: quota(amounts("pods", "1"), amounts("pods", "0"), corev1.ResourceQuotaScopeBestEffort)},
		"pods of the class":               {quota: classes(corev1.ScopeSelectorOpIn, "system-cluster-critical"), want: noPods},
		"pods of any class":               {quota: classes(corev1.ScopeSelectorOpExists), want: noPods},
		"pods of another class":           {quota: classes(corev1.ScopeSelectorOpIn, "low")},
		"pods of no class":                {quota: classes(corev1.ScopeSelectorOpDoesNotExist)},
		"pods with affinity across namespaces": {
			quota: quota(amounts("pods", "1"), amounts("pods", "0"), corev1.ResourceQuotaScopeCrossNamespacePodAffinity)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := subject(t, allowed{}, append(c.live, c.quota, infra("a", "8", "16Gi"))...)
			deployment := object(t, istiod)
			pod := deployment.Object["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
			pod["priorityClassName"] = "system-cluster-critical"
			m.After = append(m.After, deployment, object(t, gatewayService), object(t, autoscaler),
				object(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: istio-system}}`),
				object(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: b, namespace: istio-system}}`),
				object(t, `{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: istio-system}}`),
				object(t, `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: a, namespace: istio-system}}`),
				object(t, readerRole))
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

func TestServiceUsage(t *testing.T) {
	ports := []corev1.ServicePort{{Port: 1}, {Port: 2, NodePort: 30000}}
	cases := map[string]struct {
		spec corev1.ServiceSpec
		want map[corev1.ResourceName]int64
	}{
		"of the cluster alone":   {spec: corev1.ServiceSpec{Ports: ports}, want: map[corev1.ResourceName]int64{}},
		"node ports":             {spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: ports}, want: map[corev1.ResourceName]int64{"services.nodeports": 2}},
		"a load balancer":        {spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: ports}, want: map[corev1.ResourceName]int64{"services.loadbalancers": 1, "services.nodeports": 2}},
		"none but what is named": {spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: ports, AllocateLoadBalancerNodePorts: new(false)}, want: map[corev1.ResourceName]int64{"services.loadbalancers": 1, "services.nodeports": 1}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := map[corev1.ResourceName]int64{}
			for name, q := range serviceUsage(&corev1.Service{Spec: c.spec}) {
				got[name] = q.Value()
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("usage (-want +got):\n%s", diff)
			}
		})
	}
}
