package member

import (
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/istio"
)

// Rollout is the state of a Deployment.
type Rollout struct {
	// Exists says that the Deployment is there.
	Exists bool
	// Complete says that every replica is of the current generation and available, and that there is at least one.
	Complete bool
	// Replicas are wanted, ReadyReplicas serve.
	Replicas, ReadyReplicas int32
	// Created is when the Deployment was made.
	Created time.Time
	// Revision is the label istio.io/rev of its pods.
	Revision string
	// Message says how far it is, and what keeps pods from running.
	Message string
}

// Deployment observes a Deployment.
func Deployment(ctx context.Context, c client.Reader, key client.ObjectKey) (Rollout, error) {
	d := &appsv1.Deployment{}
	err := c.Get(ctx, key, d)
	if apierrors.IsNotFound(err) {
		return Rollout{Message: "Deployment " + key.Name + " does not exist yet"}, nil
	}
	if err != nil {
		return Rollout{}, fmt.Errorf("read Deployment %s: %w", key, err)
	}
	s, want := d.Status, int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	r := Rollout{Exists: true, Replicas: want, ReadyReplicas: s.ReadyReplicas, Created: d.CreationTimestamp.Time,
		Revision: d.Spec.Template.Labels[istio.RevisionLabel]}
	r.Complete = s.ObservedGeneration >= d.Generation && want > 0 &&
		s.UpdatedReplicas == want && s.Replicas == want && s.AvailableReplicas == want
	r.Message = fmt.Sprintf("Deployment %s: %d of %d replicas available", key.Name, s.AvailableReplicas, want)
	if r.Complete {
		return r, nil
	}
	obstacle, err := obstacle(ctx, c, d)
	if err != nil {
		return Rollout{}, err
	}
	if obstacle != "" {
		r.Message += ": " + obstacle
	}
	return r, nil
}

// obstacle finds why pods of a Deployment do not run, in the words of Kubernetes.
func obstacle(ctx context.Context, c client.Reader, d *appsv1.Deployment) (string, error) {
	for _, cond := range d.Status.Conditions {
		if cond.Type == appsv1.DeploymentReplicaFailure && cond.Status == corev1.ConditionTrue {
			return cond.Reason + ": " + cond.Message, nil
		}
	}
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return "", fmt.Errorf("selector of Deployment %s: %w", d.Name, err)
	}
	pods := &corev1.PodList{}
	if err := c.List(ctx, pods, client.InNamespace(d.Namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return "", fmt.Errorf("list pods of Deployment %s: %w", d.Name, err)
	}
	var found []string
	for i := range pods.Items {
		if o := podObstacle(&pods.Items[i]); o != "" {
			found = append(found, o)
		}
	}
	if len(found) == 0 {
		return "", nil
	}
	slices.Sort(found)
	return found[0], nil
}

func podObstacle(p *corev1.Pod) string {
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if w := s.State.Waiting; w != nil && w.Reason != "PodInitializing" && w.Reason != "ContainerCreating" {
			return fmt.Sprintf("container %s: %s", s.Name, w.Reason)
		}
	}
	for _, cond := range p.Status.Conditions {
		if cond.Type == corev1.PodScheduled && cond.Status == corev1.ConditionFalse {
			return cond.Reason + ": " + cond.Message
		}
	}
	return ""
}
