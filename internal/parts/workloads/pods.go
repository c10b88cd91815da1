package workloads

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/meshfleet/meshfleet/internal/istio"
	"github.com/meshfleet/meshfleet/internal/member"
)

// crashes is how often a container may end before it counts as crash-looping: an application may well end once or
// twice until its proxy is up.
const crashes = 3

func readPod(p *corev1.Pod) Pod {
	out := Pod{
		Namespace: p.Namespace, Name: p.Name, Owner: member.Controller(p),
		Injection: marks(p.Labels, p.Annotations, p.Spec.HostNetwork),
		Labels:    p.Labels,
		HasProxy:  istio.HasProxy(p), Revision: istio.InjectedRevision(p), Node: p.Spec.NodeName,
		Crash: crash(p.Status),
		UID:   p.UID, Created: p.CreationTimestamp.Time,
		Ready: istio.IsReady(p), Consents: isConsent(p.Annotations),
	}
	if p.DeletionTimestamp != nil {
		out.Leaves = p.DeletionTimestamp.Time
	}
	return out
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
