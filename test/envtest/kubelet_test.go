package envtest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/meshfleet/meshfleet/internal/mesh"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// addresses is what to hold so that LoadBalancer Services get no address.
const addresses = "addresses"

// addressOfService is the address that a LoadBalancer Service of a cluster gets: one of its own for the pinned gateway.
func addressOfService(cluster, service string) string {
	if service == pinnedName {
		return "198.51.100" + strings.TrimPrefix(addressOf(cluster), "203.0.113")
	}
	return addressOf(cluster)
}

// addressOf is the address that every other LoadBalancer Service of a cluster gets.
func addressOf(cluster string) string {
	return map[string]string{hubName: "203.0.113.1", "east": "203.0.113.2", "west": "203.0.113.3", "north": "203.0.113.4"}[cluster]
}

// deployments rolls Deployments out and lets go of those that are deleted.
func (s *stage) deployments(ctx context.Context) error {
	list := &appsv1.DeploymentList{}
	if err := s.cluster.admin.List(ctx, list); err != nil {
		return err
	}
	var errs []error
	for i := range list.Items {
		d := &list.Items[i]
		switch {
		case !d.DeletionTimestamp.IsZero():
			errs = append(errs, s.terminate(ctx, d))
		case !s.isHeld(d.Name):
			errs = append(errs, s.rollOut(ctx, d))
		}
	}
	return errors.Join(errs...)
}

func (s *stage) rollOut(ctx context.Context, d *appsv1.Deployment) error {
	if err := s.pod(ctx, d); err != nil {
		return fmt.Errorf("pod of Deployment %s: %w", d.Name, err)
	}
	if isRolledOut(d) {
		return nil
	}
	n := *d.Spec.Replicas
	d.Status.ObservedGeneration = d.Generation
	d.Status.Replicas, d.Status.UpdatedReplicas, d.Status.ReadyReplicas, d.Status.AvailableReplicas = n, n, n, n
	return s.cluster.admin.Status().Update(ctx, d)
}

func isRolledOut(d *appsv1.Deployment) bool {
	return d.Status.ObservedGeneration == d.Generation && d.Status.AvailableReplicas == *d.Spec.Replicas
}

// pod makes one ready pod for a Deployment, and another one when istiod was ordered to restart.
func (s *stage) pod(ctx context.Context, d *appsv1.Deployment) error {
	pod := &corev1.Pod{}
	err := s.cluster.admin.Get(ctx, client.ObjectKey{Namespace: d.Namespace, Name: d.Name + "-0"}, pod)
	if order := d.Spec.Template.Annotations[mesh.RestartAnnotation]; err == nil && pod.Annotations[mesh.RestartAnnotation] != order {
		if err = s.cluster.admin.Delete(ctx, pod, client.GracePeriodSeconds(0)); err == nil {
			err = s.cluster.admin.Get(ctx, client.ObjectKeyFromObject(pod), pod)
		}
	}
	if apierrors.IsNotFound(err) {
		pod = &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: d.Namespace, Name: d.Name + "-0", Labels: d.Spec.Template.Labels, Annotations: d.Spec.Template.Annotations,
			},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "played", Image: "played"}}},
		}
		err = s.cluster.admin.Create(ctx, pod)
	}
	if err != nil || len(pod.Status.Conditions) > 0 {
		return err
	}
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	return s.cluster.admin.Status().Update(ctx, pod)
}

// terminate stops the pod of a Deployment, then lets the Deployment go.
func (s *stage) terminate(ctx context.Context, d *appsv1.Deployment) error {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: d.Name + "-0"}}
	if err := s.cluster.admin.Delete(ctx, pod, client.GracePeriodSeconds(0)); client.IgnoreNotFound(err) != nil {
		return err
	}
	if !controllerutil.RemoveFinalizer(d, metav1.FinalizerDeleteDependents) {
		return nil
	}
	return client.IgnoreNotFound(s.cluster.admin.Update(ctx, d))
}

// balancers gives LoadBalancer Services an address.
func (s *stage) balancers(ctx context.Context) error {
	list := &corev1.ServiceList{}
	if err := s.cluster.admin.List(ctx, list); err != nil {
		return err
	}
	var errs []error
	for i := range list.Items {
		service := &list.Items[i]
		if service.Spec.Type != corev1.ServiceTypeLoadBalancer || len(service.Status.LoadBalancer.Ingress) > 0 || s.isHeld(addresses) {
			continue
		}
		service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: addressOfService(s.cluster.name, service.Name)}}
		errs = append(errs, s.cluster.admin.Status().Update(ctx, service))
	}
	return errors.Join(errs...)
}
