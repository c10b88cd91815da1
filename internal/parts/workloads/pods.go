package workloads

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	kindDeployment  = "Deployment"
	kindStatefulSet = "StatefulSet"
	kindDaemonSet   = "DaemonSet"
	kindReplicaSet  = "ReplicaSet"
	kindPod         = "Pod"
	kindJob         = "Job"
	kindCronJob     = "CronJob"
	kindNamespace   = "Namespace"
)

// crashes is how often a container may end before it counts as crash-looping: an application may well end once or
// twice until its proxy is up.
const crashes = 3

func readPod(p *corev1.Pod) Pod {
	_, injected := p.Annotations[statusKey]
	isGateway := p.Labels[managedLabel] != ""
	out := Pod{
		Namespace: p.Namespace, Name: p.Name, Owner: owner(p),
		Injection: marks(p.Labels, p.Annotations, p.Spec.HostNetwork),
		Labels:    p.Labels,
		HasProxy:  injected || isGateway, Revision: p.Annotations[revisionKey],
		Crash: crash(p.Status),
		UID:   p.UID, Created: p.CreationTimestamp.Time,
		Ready: slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		}),
	}
	if p.DeletionTimestamp != nil {
		out.Leaves = p.DeletionTimestamp.Time
	}
	return out
}

// owner names the controller of an object. Only the kinds of Kubernetes itself go without their group.
func owner(o metav1.Object) Reference {
	c := metav1.GetControllerOf(o)
	if c == nil {
		return Reference{}
	}
	kind := c.Kind
	group, _, hasGroup := strings.Cut(c.APIVersion, "/")
	if hasGroup && group != "apps" && group != "batch" {
		kind += "." + group
	}
	return Reference{Kind: kind, Namespace: o.GetNamespace(), Name: c.Name}
}

// crash finds a container that ends again and again.
func crash(s corev1.PodStatus) string {
	for _, c := range slices.Concat(s.InitContainerStatuses, s.ContainerStatuses) {
		if c.State.Running != nil || c.Ready || c.RestartCount < crashes || c.LastTerminationState.Terminated == nil {
			continue
		}
		last := c.LastTerminationState.Terminated
		return fmt.Sprintf("container %s does not stay up: exit code %d, %s", c.Name, last.ExitCode, last.Reason)
	}
	return ""
}
