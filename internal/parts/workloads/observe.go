package workloads

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/member"
)

// Observe reads the member. Pods come before their owners: an owner that is missing has been deleted since. Gateways are read if there are any that istiod has made something for.
func Observe(ctx context.Context, c *member.World, r Request) (World, error) {
	w := World{
		Namespaces:  map[string]map[string]string{},
		ReplicaSets: map[types.NamespacedName]Reference{},
		Workloads:   map[Reference]Workload{},
	}
	pods, err := c.Pods(ctx)
	if err != nil {
		return World{}, err
	}
	for i := range pods {
		if p := &pods[i]; !istio.HasFinished(p) {
			w.Pods = append(w.Pods, readPod(p))
		}
	}
	add := func(o Workload) { w.Workloads[o.Reference] = o }
	namespaces := &metav1.PartialObjectMetadataList{}
	namespaces.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	replicaSets := &metav1.PartialObjectMetadataList{}
	replicaSets.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("ReplicaSetList"))
	var (
		deployments  appsv1.DeploymentList
		statefulSets appsv1.StatefulSetList
		daemonSets   appsv1.DaemonSetList
		budgets      policyv1.PodDisruptionBudgetList
	)
	for _, l := range []struct {
		what string
		list client.ObjectList
		read func() error
	}{
		{"namespaces", namespaces, func() error {
			for i := range namespaces.Items {
				w.Namespaces[namespaces.Items[i].Name] = namespaces.Items[i].Labels
			}
			return nil
		}},
		{"ReplicaSets", replicaSets, func() error {
			for i := range replicaSets.Items {
				rs := &replicaSets.Items[i]
				w.ReplicaSets[client.ObjectKeyFromObject(rs)] = member.Controller(rs)
			}
			return nil
		}},
		{"Deployments", &deployments, func() error {
			for i := range deployments.Items {
				add(readDeployment(&deployments.Items[i], r.Namespace))
			}
			return nil
		}},
		{"StatefulSets", &statefulSets, func() error {
			for i := range statefulSets.Items {
				add(readStatefulSet(&statefulSets.Items[i], r.Namespace))
			}
			return nil
		}},
		{"DaemonSets", &daemonSets, func() error {
			for i := range daemonSets.Items {
				add(readDaemonSet(&daemonSets.Items[i], r.Namespace))
			}
			return nil
		}},
		{"PodDisruptionBudgets", &budgets, func() error {
			for i := range budgets.Items {
				b, err := readBudget(&budgets.Items[i])
				if err != nil {
					return err
				}
				w.Budgets = append(w.Budgets, b)
			}
			return nil
		}},
	} {
		if err := member.Pages(ctx, c, l.list, l.read); err != nil {
			return World{}, fmt.Errorf("list %s: %w", l.what, err)
		}
	}
	if err := readGateways(ctx, c, &w); err != nil {
		return World{}, err
	}
	return w, nil
}

func readBudget(b *policyv1.PodDisruptionBudget) (Budget, error) {
	selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	if err != nil {
		return Budget{}, fmt.Errorf("selector of PodDisruptionBudget %s/%s: %w", b.Namespace, b.Name, err)
	}
	return Budget{Namespace: b.Namespace, Name: b.Name, Selector: selector, Allowed: b.Status.DisruptionsAllowed}, nil
}
