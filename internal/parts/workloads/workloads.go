package workloads

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/member"
)

const (
	// Of a pod template that was restarted, and of a workload whose pods are evicted.
	forAnnotation = "mesh.meshfleet.io/restarted-for"
	atAnnotation  = "mesh.meshfleet.io/restarted-at"
	// proxyContainer is the name that the injector gives.
	proxyContainer = "istio-proxy"
)

func readDeployment(d *appsv1.Deployment, controlPlane string) Workload {
	w := readTemplate(member.KindDeployment, d, &d.Spec.Template, controlPlane)
	w.Settled = d.Status.ObservedGeneration >= d.Generation
	w.Desired = replicas(d.Spec.Replicas)
	w.Existing, w.Updated, w.Available = d.Status.Replicas, d.Status.UpdatedReplicas, d.Status.AvailableReplicas
	if d.Spec.Paused {
		w.Held = "is paused"
	}
	for _, c := range d.Status.Conditions {
		switch {
		case c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse:
			w.Stuck = c.Reason + ": " + c.Message
		case c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue:
			w.Obstacle = c.Reason + ": " + c.Message
		}
	}
	w.replacedBy(deploymentReplacement(d))
	return w
}

func readStatefulSet(s *appsv1.StatefulSet, controlPlane string) Workload {
	w := readTemplate(member.KindStatefulSet, s, &s.Spec.Template, controlPlane)
	w.Settled = s.Status.ObservedGeneration >= s.Generation
	w.Desired = replicas(s.Spec.Replicas)
	w.Existing, w.Updated, w.Available = s.Status.Replicas, s.Status.UpdatedReplicas, s.Status.AvailableReplicas
	update := s.Spec.UpdateStrategy.RollingUpdate
	switch {
	case s.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType:
		w.Held = "has the update strategy OnDelete"
	case update != nil && update.Partition != nil && *update.Partition > 0:
		w.Held = fmt.Sprintf("has an update strategy that leaves the first %d pods as they are", *update.Partition)
	}
	w.replacedBy(statefulSetReplacement(s))
	return w
}

func readDaemonSet(d *appsv1.DaemonSet, controlPlane string) Workload {
	w := readTemplate(member.KindDaemonSet, d, &d.Spec.Template, controlPlane)
	s := d.Status
	w.Settled = s.ObservedGeneration >= d.Generation
	w.Desired, w.Updated, w.Available = s.DesiredNumberScheduled, s.UpdatedNumberScheduled, s.NumberAvailable
	// Pods on nodes where none should be do not count, here as in a rollout.
	w.Existing = s.CurrentNumberScheduled
	if d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType {
		w.Held = "has the update strategy OnDelete"
	}
	w.replacedBy(daemonSetReplacement(d))
	return w
}

func readTemplate(kind string, o metav1.Object, t *corev1.PodTemplateSpec, controlPlane string) Workload {
	_, byHand := t.Annotations[istio.InjectedAnnotation]
	ours := o.GetNamespace() == controlPlane && o.GetLabels()[meshv1alpha1.LabelInstallation] != ""
	gateway := gatewayOf(o)
	w := Workload{
		Reference:    Reference{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()},
		Own:          ours || gateway == "" && o.GetLabels()[istio.ManagedGatewayLabel] != "",
		Gateway:      gateway,
		Injection:    marks(t.Labels, t.Annotations, t.Spec.HostNetwork),
		Consents:     isConsent(o.GetAnnotations()) || isConsent(t.Annotations),
		ByHand:       byHand,
		RestartedFor: t.Annotations[forAnnotation],
		RestartedAt:  t.Annotations[atAnnotation],
		EvictedFor:   o.GetAnnotations()[forAnnotation],
		EvictedAt:    o.GetAnnotations()[atAnnotation],
		Version:      o.GetResourceVersion(),
		FragilePods:  fragilePod(&t.Spec),
	}
	if gateway != "" {
		w.Rendered = t.Annotations[istio.RevisionLabel]
	}
	return w
}

func (w *Workload) replacedBy(r replacement) {
	w.FragileUpdate, w.Evictable = r.fragile(), r.evictable()
}

func replicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}
