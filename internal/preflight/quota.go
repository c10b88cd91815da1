package preflight

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/apply"
)

// overQuota says which ResourceQuotas of the control plane's namespace would be exceeded, and how many there are.
func (m *Subject) overQuota(ctx context.Context, newcomers []newcomer) (problems []string, looked int, err error) {
	quotas := &corev1.ResourceQuotaList{}
	if err := m.Client.List(ctx, quotas, client.InNamespace(m.Namespace)); err != nil {
		return nil, 0, fmt.Errorf("list ResourceQuotas: %w", err)
	}
	need := m.quotaNeeds(newcomers)
	for i := range quotas.Items {
		q := &quotas.Items[i]
		if !concerns(q) {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(q.Status.Hard)) {
			more, counts := need[name]
			if !counts || more.IsZero() {
				continue
			}
			left := q.Status.Hard[name]
			left.Sub(q.Status.Used[name])
			if left.Cmp(more) < 0 {
				problems = append(problems, fmt.Sprintf("ResourceQuota %s/%s leaves %s of %s, and %s more is needed: raise it",
					q.Namespace, q.Name, left.String(), name, more.String()))
			}
		}
	}
	return problems, len(quotas.Items), nil
}

// concerns says whether a quota counts pods that run for good and request something.
func concerns(q *corev1.ResourceQuota) bool {
	if q.Spec.ScopeSelector != nil && len(q.Spec.ScopeSelector.MatchExpressions) > 0 {
		return false
	}
	return !slices.ContainsFunc(q.Spec.Scopes, func(s corev1.ResourceQuotaScope) bool {
		return s != corev1.ResourceQuotaScopeNotTerminating && s != corev1.ResourceQuotaScopeNotBestEffort
	})
}

// quotaNeeds are what the upgrade adds to the namespace, in the words of quotas.
func (m *Subject) quotaNeeds(newcomers []newcomer) corev1.ResourceList {
	need := corev1.ResourceList{}
	add := func(name corev1.ResourceName, q resource.Quantity) {
		sum := need[name]
		sum.Add(q)
		need[name] = sum
	}
	one := *resource.NewQuantity(1, resource.DecimalSI)
	for _, n := range newcomers {
		cpu, memory := requests(&n.template.Spec)
		for range n.replicas {
			add(corev1.ResourcePods, one)
			for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceRequestsCPU} {
				add(name, *resource.NewMilliQuantity(cpu, resource.DecimalSI))
			}
			for _, name := range []corev1.ResourceName{corev1.ResourceMemory, corev1.ResourceRequestsMemory} {
				add(name, *resource.NewQuantity(memory, resource.BinarySI))
			}
			for i := range n.template.Spec.Containers {
				limits := n.template.Spec.Containers[i].Resources.Limits
				add(corev1.ResourceLimitsCPU, limits[corev1.ResourceCPU])
				add(corev1.ResourceLimitsMemory, limits[corev1.ResourceMemory])
			}
		}
	}
	before := map[apply.Reference]bool{}
	for _, o := range m.Before {
		before[identityOf(o)] = true
	}
	for kind, name := range map[string]corev1.ResourceName{
		"Service": corev1.ResourceServices, "ConfigMap": corev1.ResourceConfigMaps, "Deployment": "count/deployments.apps",
	} {
		for _, o := range m.added(before, kind) {
			if o.GetNamespace() != m.Namespace {
				continue
			}
			add(name, one)
			if kind, _, _ := unstructured.NestedString(o.Object, "spec", "type"); kind == string(corev1.ServiceTypeLoadBalancer) {
				add(corev1.ResourceServicesLoadBalancers, one)
			}
		}
	}
	return need
}
