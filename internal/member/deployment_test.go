package member

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

var (
	key     = client.ObjectKey{Namespace: "istio-system", Name: "istiod"}
	created = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	app     = map[string]string{"app": "istiod"}
)

type deploymentOption func(*appsv1.Deployment)

// deployment is one that has rolled out with two replicas.
func deployment(options ...deploymentOption) *appsv1.Deployment {
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: key.Name, Namespace: key.Namespace, Generation: 3, CreationTimestamp: metav1.NewTime(created)},
		Spec:       appsv1.DeploymentSpec{Replicas: new(int32(2)), Selector: &metav1.LabelSelector{MatchLabels: app}},
		Status: appsv1.DeploymentStatus{
			ObservedGeneration: 3, Replicas: 2, UpdatedReplicas: 2, ReadyReplicas: 2, AvailableReplicas: 2,
		},
	}
	for _, o := range options {
		o(d)
	}
	return d
}

func withStatus(s appsv1.DeploymentStatus) deploymentOption {
	return func(d *appsv1.Deployment) { d.Status = s }
}

// starting is one whose only pod does not serve yet.
func starting() *appsv1.Deployment {
	return deployment(func(d *appsv1.Deployment) { d.Spec.Replicas = nil }, withStatus(appsv1.DeploymentStatus{ObservedGeneration: 3, Replicas: 1, UpdatedReplicas: 1}))
}

func pod(name string, status corev1.PodStatus) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: key.Namespace, Labels: app}, Status: status}
}

func waiting(container, reason string) corev1.PodStatus {
	return corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
		Name: container, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "back-off 5m0s"}},
	}}}
}

func unscheduled(message string) corev1.PodStatus {
	return corev1.PodStatus{Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: message,
	}}}
}

func TestDeployment(t *testing.T) {
	cases := map[string]struct {
		objects []client.Object
		want    Rollout
	}{
		"it does not exist": {nil, Rollout{Message: "Deployment istiod does not exist yet"}},
		"rolled out": {[]client.Object{deployment()},
			Rollout{Exists: true, Replicas: 2, Complete: true, ReadyReplicas: 2, Message: "Deployment istiod: 2 of 2 replicas available"}},
		"more ready than observed of the new generation": {[]client.Object{deployment(func(d *appsv1.Deployment) { d.Generation = 4 })},
			Rollout{Exists: true, Replicas: 2, ReadyReplicas: 2, Message: "Deployment istiod: 2 of 2 replicas available"}},
		"an old pod still runs": {[]client.Object{deployment(withStatus(appsv1.DeploymentStatus{ObservedGeneration: 3, Replicas: 3, UpdatedReplicas: 2, ReadyReplicas: 3, AvailableReplicas: 2}))},
			Rollout{Exists: true, Replicas: 2, ReadyReplicas: 3, Message: "Deployment istiod: 2 of 2 replicas available"}},
		"ready, but not long enough": {[]client.Object{deployment(withStatus(appsv1.DeploymentStatus{ObservedGeneration: 3, Replicas: 2, UpdatedReplicas: 2, ReadyReplicas: 2, AvailableReplicas: 1}))},
			Rollout{Exists: true, Replicas: 2, ReadyReplicas: 2, Message: "Deployment istiod: 1 of 2 replicas available"}},
		"scaled to nothing is not rolled out": {[]client.Object{deployment(func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(0)) }, withStatus(appsv1.DeploymentStatus{ObservedGeneration: 3}))},
			Rollout{Exists: true, Message: "Deployment istiod: 0 of 0 replicas available"}},
		"one replica without saying so": {[]client.Object{starting()},
			Rollout{Exists: true, Replicas: 1, Message: "Deployment istiod: 0 of 1 replicas available"}},
		"an image that cannot be had": {[]client.Object{starting(), pod("a", waiting("discovery", "ImagePullBackOff"))},
			Rollout{Exists: true, Replicas: 1, Message: "Deployment istiod: 0 of 1 replicas available: container discovery: ImagePullBackOff"}},
		"a container that is only being made": {[]client.Object{starting(), pod("a", waiting("discovery", "ContainerCreating"))},
			Rollout{Exists: true, Replicas: 1, Message: "Deployment istiod: 0 of 1 replicas available"}},
		"no place for the pod": {[]client.Object{starting(), pod("a", unscheduled("0/3 nodes are available"))},
			Rollout{Exists: true, Replicas: 1, Message: "Deployment istiod: 0 of 1 replicas available: Unschedulable: 0/3 nodes are available"}},
		"of several obstacles always the same": {[]client.Object{starting(), pod("a", unscheduled("no node")), pod("b", unscheduled("also no node")), pod("c", waiting("discovery", "CrashLoopBackOff"))},
			Rollout{Exists: true, Replicas: 1, Message: "Deployment istiod: 0 of 1 replicas available: Unschedulable: also no node"}},
		"a quota": {[]client.Object{deployment(withStatus(appsv1.DeploymentStatus{ObservedGeneration: 3, Conditions: []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: "exceeded quota",
		}}}))},
			Rollout{Exists: true, Replicas: 2, Message: "Deployment istiod: 0 of 2 replicas available: FailedCreate: exceeded quota"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Deployment(t.Context(), fake.NewClientBuilder().WithObjects(c.objects...).Build(), key)
			if err != nil {
				t.Fatal(err)
			}
			if c.want.Exists != got.Created.Equal(created) {
				t.Errorf("created at %v", got.Created)
			}
			got.Created = time.Time{}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("rollout (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDeploymentReportsWhatCannotBeRead(t *testing.T) {
	broken := errors.New("the API server says no")
	noDeployment := interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
		return broken
	}}
	noPods := interceptor.Funcs{List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return broken }}
	for name, funcs := range map[string]interceptor.Funcs{"the Deployment": noDeployment, "its pods": noPods} {
		t.Run(name, func(t *testing.T) {
			c := interceptor.NewClient(fake.NewClientBuilder().WithObjects(starting()).Build(), funcs)
			if got, err := Deployment(t.Context(), c, key); !errors.Is(err, broken) {
				t.Errorf("rollout %+v, error %v, want that of the API server", got, err)
			}
		})
	}
}
