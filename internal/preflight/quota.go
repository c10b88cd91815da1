package preflight

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/apply"
)

// namedCounts are the core resources that quotas count by their plain names, besides `count/<resource>`.
var namedCounts = []string{
	"configmaps", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas", "secrets", "services",
}

// overQuota says which ResourceQuotas of the control plane's namespace would be exceeded, and how many there are.
func (m *Subject) overQuota(ctx context.Context, added []*unstructured.Unstructured, newcomers []newcomer) (problems []string, looked int, err error) {
	quotas := &corev1.ResourceQuotaList{}
	if err := m.Client.List(ctx, quotas, client.InNamespace(m.Namespace)); err != nil {
		return nil, 0, fmt.Errorf("list ResourceQuotas: %w", err)
	}
	if len(quotas.Items) == 0 {
		return nil, 0, nil
	}
	objects, err := m.objectUsage(added)
	if err != nil {
		return nil, 0, err
	}
	for i := range quotas.Items {
		q := &quotas.Items[i]
		need := usage{}
		if isUnscoped(q) {
			need.add(objects, 1)
		}
		for _, n := range newcomers {
			counts, err := countsPods(q, &n.template.Spec)
			if err != nil {
				return nil, 0, fmt.Errorf("scopes of ResourceQuota %s/%s: %w", q.Namespace, q.Name, err)
			}
			if counts {
				need.add(podUsage(&n.template.Spec), n.replicas)
			}
		}
		problems = append(problems, exceeded(q, need)...)
	}
	return problems, len(quotas.Items), nil
}

// exceeded are the resources of a quota that do not suffice. What is used beyond the limit already is the quota's own affair
// as long as nothing more is needed.
func exceeded(q *corev1.ResourceQuota, need usage) []string {
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(q.Status.Hard)) {
		more := need[name]
		if more.IsZero() {
			continue
		}
		hard, used := q.Status.Hard[name], q.Status.Used[name]
		sum := used.DeepCopy()
		sum.Add(more)
		if sum.Cmp(hard) > 0 {
			problems = append(problems, fmt.Sprintf("ResourceQuota %s/%s allows %s of %s: %s used, %s more needed: raise it",
				q.Namespace, q.Name, hard.String(), name, used.String(), more.String()))
		}
	}
	return problems
}

// usage is what objects take of quotas, by the names that quotas have for it.
type usage corev1.ResourceList

func (u usage) add(o usage, times int32) {
	for name, q := range o {
		sum := u[name]
		for range times {
			sum.Add(q)
		}
		u[name] = sum
	}
}

func (u usage) count(name corev1.ResourceName, n int64) {
	u.add(usage{name: *resource.NewQuantity(n, resource.DecimalSI)}, 1)
}

// objectUsage is what the objects of the control plane's namespace take. A Deployment makes one ReplicaSet. Pods are not among
// the objects.
func (m *Subject) objectUsage(added []*unstructured.Unstructured) (usage, error) {
	out := usage{}
	for _, o := range added {
		if o.GetNamespace() != m.Namespace {
			continue
		}
		mapping, err := m.Client.RESTMapper().RESTMapping(o.GroupVersionKind().GroupKind(), o.GroupVersionKind().Version)
		if err != nil {
			return nil, fmt.Errorf("find the resource of %s: %w", identityOf(o), err)
		}
		name, group := mapping.Resource.Resource, mapping.Resource.Group
		out.count(countOf(name, group), 1)
		switch {
		case group == "" && slices.Contains(namedCounts, name):
			out.count(corev1.ResourceName(name), 1)
		case group == "apps" && name == "deployments":
			out.count(countOf("replicasets", group), 1)
		}
		if group == "" && name == "services" {
			service := &corev1.Service{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, service); err != nil {
				return nil, fmt.Errorf("read %s: %w", identityOf(o), err)
			}
			out.add(serviceUsage(service), 1)
		}
	}
	return out, nil
}

func countOf(resource, group string) corev1.ResourceName {
	if group != "" {
		resource += "." + group
	}
	return corev1.ResourceName("count/" + resource)
}

// serviceUsage is what a Service takes beside itself. The API server gives a node port to each port of a load balancer, too,
// unless the Service says otherwise.
func serviceUsage(s *corev1.Service) usage {
	out := usage{}
	isBalancer := s.Spec.Type == corev1.ServiceTypeLoadBalancer
	if isBalancer {
		out.count(corev1.ResourceServicesLoadBalancers, 1)
	}
	ports := int64(len(s.Spec.Ports))
	switch allocate := s.Spec.AllocateLoadBalancerNodePorts; {
	case !isBalancer && s.Spec.Type != corev1.ServiceTypeNodePort:
		return out
	case isBalancer && allocate != nil && !*allocate:
		ports = 0
		for _, p := range s.Spec.Ports {
			if p.NodePort != 0 {
				ports++
			}
		}
	}
	out.count(corev1.ResourceServicesNodePorts, ports)
	return out
}

// podUsage is what one pod takes.
func podUsage(s *corev1.PodSpec) usage {
	out := usage{}
	out.count(corev1.ResourcePods, 1)
	out.count(countOf("pods", ""), 1)
	cpu, memory := requests(s)
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceRequestsCPU} {
		out[name] = *resource.NewMilliQuantity(cpu, resource.DecimalSI)
	}
	for _, name := range []corev1.ResourceName{corev1.ResourceMemory, corev1.ResourceRequestsMemory} {
		out[name] = *resource.NewQuantity(memory, resource.BinarySI)
	}
	for i := range s.Containers {
		limits := s.Containers[i].Resources.Limits
		out.add(usage{corev1.ResourceLimitsCPU: limits[corev1.ResourceCPU], corev1.ResourceLimitsMemory: limits[corev1.ResourceMemory]}, 1)
	}
	return out
}

// isUnscoped says whether a quota counts objects other than pods: one with a scope does not.
func isUnscoped(q *corev1.ResourceQuota) bool { return len(requirements(q)) == 0 }

// requirements are the scopes of a quota in either way of writing.
func requirements(q *corev1.ResourceQuota) []corev1.ScopedResourceSelectorRequirement {
	var out []corev1.ScopedResourceSelectorRequirement
	for _, s := range q.Spec.Scopes {
		out = append(out, corev1.ScopedResourceSelectorRequirement{ScopeName: s, Operator: corev1.ScopeSelectorOpExists})
	}
	if q.Spec.ScopeSelector != nil {
		out = append(out, q.Spec.ScopeSelector.MatchExpressions...)
	}
	return out
}

// countsPods says whether a quota counts pods of a Deployment: they must match each of its scopes.
func countsPods(q *corev1.ResourceQuota, s *corev1.PodSpec) (bool, error) {
	for _, r := range requirements(q) {
		matches := false
		switch r.ScopeName {
		case corev1.ResourceQuotaScopeTerminating:
			matches = s.ActiveDeadlineSeconds != nil
		case corev1.ResourceQuotaScopeNotTerminating:
			matches = s.ActiveDeadlineSeconds == nil
		case corev1.ResourceQuotaScopeBestEffort:
			matches = isBestEffort(s)
		case corev1.ResourceQuotaScopeNotBestEffort:
			matches = !isBestEffort(s)
		case corev1.ResourceQuotaScopePriorityClass:
			selector, err := classSelector(r)
			if err != nil {
				return false, err
			}
			class := labels.Set{}
			if s.PriorityClassName != "" {
				class[string(r.ScopeName)] = s.PriorityClassName
			}
			matches = selector.Matches(class)
		case corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
			matches = hasAffinityElsewhere(s.Affinity)
		}
		if !matches {
			return false, nil
		}
	}
	return true, nil
}

func classSelector(r corev1.ScopedResourceSelectorRequirement) (labels.Selector, error) {
	operators := map[corev1.ScopeSelectorOperator]selection.Operator{
		corev1.ScopeSelectorOpIn: selection.In, corev1.ScopeSelectorOpNotIn: selection.NotIn,
		corev1.ScopeSelectorOpExists: selection.Exists, corev1.ScopeSelectorOpDoesNotExist: selection.DoesNotExist,
	}
	requirement, err := labels.NewRequirement(string(r.ScopeName), operators[r.Operator], r.Values)
	if err != nil {
		return nil, err
	}
	return labels.NewSelector().Add(*requirement), nil
}

// isBestEffort says whether no container requests or limits CPU or memory.
func isBestEffort(s *corev1.PodSpec) bool {
	for _, c := range slices.Concat(s.InitContainers, s.Containers) {
		for _, list := range []corev1.ResourceList{c.Resources.Requests, c.Resources.Limits} {
			if !list.Cpu().IsZero() || !list.Memory().IsZero() {
				return false
			}
		}
	}
	return true
}

// hasAffinityElsewhere says whether a pod chooses its node by pods of other namespaces.
func hasAffinityElsewhere(a *corev1.Affinity) bool {
	if a == nil {
		return false
	}
	var terms []corev1.PodAffinityTerm
	weighted := func(list []corev1.WeightedPodAffinityTerm) {
		for _, t := range list {
			terms = append(terms, t.PodAffinityTerm)
		}
	}
	if a.PodAffinity != nil {
		terms = append(terms, a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution...)
		weighted(a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if a.PodAntiAffinity != nil {
		terms = append(terms, a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution...)
		weighted(a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	return slices.ContainsFunc(terms, func(t corev1.PodAffinityTerm) bool { return len(t.Namespaces) > 0 || t.NamespaceSelector != nil })
}

// added are the objects after the upgrade that are neither among those before it nor in the member already.
func (m *Subject) added(ctx context.Context) ([]*unstructured.Unstructured, error) {
	before := map[apply.Reference]bool{}
	for _, o := range m.Before {
		before[identityOf(o)] = true
	}
	var out []*unstructured.Unstructured
	for _, o := range m.After {
		if before[identityOf(o)] || o.GetNamespace() == "" {
			continue
		}
		live := &metav1.PartialObjectMetadata{}
		live.SetGroupVersionKind(o.GroupVersionKind())
		err := m.Client.Get(ctx, client.ObjectKeyFromObject(o), live)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("read %s: %w", identityOf(o), err)
		}
		if err != nil {
			out = append(out, o)
		}
	}
	return out, nil
}
