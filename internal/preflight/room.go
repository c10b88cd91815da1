package preflight

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// newcomer is a Deployment that the upgrade adds.
type newcomer struct {
	name     string
	template corev1.PodTemplateSpec
	replicas int32
}

// room asks whether nodes and quotas hold what is added. What is there stays until the new has proved itself, so both
// must fit.
func room(ctx context.Context, m *Subject) (Finding, error) {
	added, err := m.added(ctx)
	if err != nil {
		return Finding{}, err
	}
	newcomers, err := newcomersOf(added)
	if err != nil {
		return Finding{}, err
	}
	nodes, err := m.nodes(ctx)
	if err != nil {
		return Finding{}, err
	}
	out := Finding{Problems: place(newcomers, nodes)}
	pods := int32(0)
	for _, n := range newcomers {
		pods += n.replicas
	}
	out.Note = fmt.Sprintf("room for %d pods on %d nodes", pods, len(nodes))
	over, quotas, err := m.overQuota(ctx, added, newcomers)
	if err != nil {
		return out, err
	}
	out.Problems = append(out.Problems, over...)
	out.Note += fmt.Sprintf(", %d quotas", quotas)
	return out, nil
}

// newcomersOf are the Deployments among the objects that are added.
func newcomersOf(added []*unstructured.Unstructured) ([]newcomer, error) {
	least := map[string]int32{}
	var out []newcomer
	for _, o := range ofKind(added, "HorizontalPodAutoscaler") {
		h := &autoscalingv2.HorizontalPodAutoscaler{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, h); err != nil {
			return nil, fmt.Errorf("read %s: %w", identityOf(o), err)
		}
		if h.Spec.MinReplicas != nil {
			least[h.Spec.ScaleTargetRef.Name] = *h.Spec.MinReplicas
		}
	}
	for _, o := range ofKind(added, "Deployment") {
		d := &appsv1.Deployment{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, d); err != nil {
			return nil, fmt.Errorf("read %s: %w", identityOf(o), err)
		}
		n := newcomer{name: d.Name, template: d.Spec.Template, replicas: 1}
		if d.Spec.Replicas != nil {
			n.replicas = *d.Spec.Replicas
		}
		n.replicas = max(n.replicas, least[d.Name])
		out = append(out, n)
	}
	return out, nil
}

func ofKind(objects []*unstructured.Unstructured, kind string) []*unstructured.Unstructured {
	return slices.DeleteFunc(slices.Clone(objects), func(o *unstructured.Unstructured) bool { return o.GetKind() != kind })
}

// node is what a node has left.
type node struct {
	name   string
	labels map[string]string
	taints []corev1.Taint
	// milliCPU, memory in bytes, and the number of pods.
	cpu, memory, pods int64
}

// nodes are those that take new pods of Istio, with what is left of them.
func (m *Subject) nodes(ctx context.Context) ([]*node, error) {
	list := &corev1.NodeList{}
	byName := map[string]*node{}
	var out []*node
	err := pages(ctx, m.Client, list, func() {
		for i := range list.Items {
			n := &list.Items[i]
			if n.Spec.Unschedulable || !isReady(n) || !isLinux(n) {
				continue
			}
			a := n.Status.Allocatable
			one := &node{n.Name, n.Labels, n.Spec.Taints, a.Cpu().MilliValue(), a.Memory().Value(), a.Pods().Value()}
			byName[n.Name], out = one, append(out, one)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	pods := &corev1.PodList{}
	err = pages(ctx, m.Client, pods, func() {
		for i := range pods.Items {
			p := &pods.Items[i]
			n := byName[p.Spec.NodeName]
			if n == nil || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
				continue
			}
			cpu, memory := requests(&p.Spec)
			n.cpu, n.memory, n.pods = n.cpu-cpu, n.memory-memory, n.pods-1
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	return out, nil
}

// isLinux says whether a node runs Istio's images. A node without the label has not started its kubelet yet, or is a virtual one.
func isLinux(n *corev1.Node) bool {
	os := cmp.Or(n.Labels[corev1.LabelOSStable], n.Status.NodeInfo.OperatingSystem, "linux")
	return os == "linux"
}

func isReady(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// requests are what the scheduler reserves for a pod: the greatest of what it needs while it starts and when it runs.
func requests(s *corev1.PodSpec) (milliCPU, memory int64) {
	of := func(c *corev1.Container, name corev1.ResourceName) resource.Quantity {
		return c.Resources.Requests[name]
	}
	sum := func(name corev1.ResourceName, value func(resource.Quantity) int64) int64 {
		var running, sidecars, starting int64
		for i := range s.InitContainers {
			c := &s.InitContainers[i]
			if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
				sidecars += value(of(c, name))
				starting = max(starting, sidecars)
				continue
			}
			starting = max(starting, sidecars+value(of(c, name)))
		}
		for i := range s.Containers {
			running += value(of(&s.Containers[i], name))
		}
		return max(running+sidecars, starting) + value(s.Overhead[name])
	}
	return sum(corev1.ResourceCPU, func(q resource.Quantity) int64 { return q.MilliValue() }),
		sum(corev1.ResourceMemory, func(q resource.Quantity) int64 { return q.Value() })
}

// place puts the pods on nodes, the greatest first and each where most memory is left, and says which find no place.
func place(newcomers []newcomer, nodes []*node) []string {
	newcomers = slices.Clone(newcomers)
	slices.SortStableFunc(newcomers, func(a, b newcomer) int {
		_, memoryA := requests(&a.template.Spec)
		_, memoryB := requests(&b.template.Spec)
		return cmp.Compare(memoryB, memoryA)
	})
	var problems []string
	for _, n := range newcomers {
		cpu, memory := requests(&n.template.Spec)
		homeless := 0
		for range n.replicas {
			var best *node
			for _, on := range nodes {
				fits := on.cpu >= cpu && on.memory >= memory && on.pods >= 1 && accepts(on, &n.template.Spec)
				if fits && (best == nil || on.memory > best.memory) {
					best = on
				}
			}
			if best == nil {
				homeless++
				continue
			}
			best.cpu, best.memory, best.pods = best.cpu-cpu, best.memory-memory, best.pods-1
		}
		if homeless > 0 {
			problems = append(problems, fmt.Sprintf("%d of %d pods of Deployment %s find no node with %s CPU and %s memory left: "+
				"add a node, or lower the requests or replicas in the values", homeless, n.replicas, n.name,
				resource.NewMilliQuantity(cpu, resource.DecimalSI), resource.NewQuantity(memory, resource.BinarySI)))
		}
	}
	return problems
}

// accepts says whether a node's labels and taints let a pod in.
func accepts(n *node, s *corev1.PodSpec) bool {
	for k, v := range s.NodeSelector {
		if n.labels[k] != v {
			return false
		}
	}
	return !slices.ContainsFunc(n.taints, func(t corev1.Taint) bool {
		if t.Effect == corev1.TaintEffectPreferNoSchedule {
			return false
		}
		return !slices.ContainsFunc(s.Tolerations, func(tolerated corev1.Toleration) bool { return tolerates(&tolerated, &t) })
	})
}

func tolerates(by *corev1.Toleration, t *corev1.Taint) bool {
	switch {
	case by.Effect != "" && by.Effect != t.Effect, by.Key != "" && by.Key != t.Key:
		return false
	case by.Operator == corev1.TolerationOpExists:
		return true
	}
	return by.Key != "" && (by.Operator == "" || by.Operator == corev1.TolerationOpEqual) && by.Value == t.Value
}
