package builtin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/istio"
)

const (
	// grace is how long a proxy may take before it counts as failed.
	grace = time.Minute
	// readGrace is how long an istiod that has just got ready may still be reading its peers. It gives one up after 30 seconds
	// (PILOT_REMOTE_CLUSTER_TIMEOUT). This is less than the minute after which a person is asked about a missing verdict.
	readGrace = 45 * time.Second
	// istiodGrace is longer, because istiod waits for peers that do not answer.
	istiodGrace = 3 * time.Minute
	// pullGrace is how long an image may be refused: a registry may be away for a moment.
	pullGrace = 30 * time.Second
	// creationGrace is how long a container may be created: its image may be large.
	creationGrace = 5 * time.Minute
)

// istiodPods lists the pods of a revision that are not on their way out, by name.
func istiodPods(ctx context.Context, m *gate.Subject, revision string) ([]corev1.Pod, error) {
	list := &corev1.PodList{}
	if err := m.Client.List(ctx, list, client.InNamespace(m.Namespace),
		client.MatchingLabels{"app": "istiod", "istio.io/rev": revision}); err != nil {
		return nil, fmt.Errorf("list istiod pods of revision %q: %w", revision, err)
	}
	pods := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
		return p.DeletionTimestamp != nil || istio.HasFinished(&p)
	})
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods, nil
}

// readyIstiods are the names of the pods of a revision that serve.
func readyIstiods(ctx context.Context, m *gate.Subject, revision string) ([]string, error) {
	pods, err := istiodPods(ctx, m, revision)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range pods {
		if istio.IsReady(&pods[i]) {
			names = append(names, pods[i].Name)
		}
	}
	return names, nil
}

// askAll asks every istiod pod of a revision that serves. The answers are by name of the pod.
func askAll[T any](ctx context.Context, m *gate.Subject, revision string,
	ask func(ctx context.Context, cfg *rest.Config, namespace, pod string) (T, error),
) (map[string]T, error) {
	names, err := readyIstiods(ctx, m, revision)
	if err != nil {
		return nil, err
	}
	answers := make(map[string]T, len(names))
	for _, name := range names {
		if answers[name], err = ask(ctx, m.Config, m.Namespace, name); err != nil {
			return nil, fmt.Errorf("istiod pod %s: %w", name, err)
		}
	}
	return answers, nil
}

// newestIstiod is when the last istiod pod of a revision got ready.
func newestIstiod(ctx context.Context, m *gate.Subject, revision string) (time.Time, error) {
	pods, err := istiodPods(ctx, m, revision)
	if err != nil {
		return time.Time{}, err
	}
	var newest time.Time
	for i := range pods {
		if since := readySince(&pods[i]); since.After(newest) {
			newest = since
		}
	}
	return newest, nil
}

// readySince is when a pod got ready, or stopped being so.
func readySince(p *corev1.Pod) time.Time {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

// refusals are why the kubelet does not even start a container. Time alone seldom cures them.
var refusals = []string{
	"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError",
}

// stuck is the reason why a container of a pod does not get ready, when that is no longer a matter of time. Containers are
// those that concerns accepts.
func stuck(p *corev1.Pod, now time.Time, grace time.Duration, concerns func(container string) bool) string {
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if s.Ready || !concerns(s.Name) || (s.State.Terminated != nil && s.State.Terminated.ExitCode == 0) {
			continue
		}
		w, unready := s.State.Waiting, now.Sub(unreadySince(p, s))
		switch {
		case w != nil && w.Reason == "CrashLoopBackOff", s.RestartCount >= 2 && recentlyDied(s, now):
			return fmt.Sprintf("container %s crashes: %s", s.Name, lastWords(s))
		case w != nil && w.Reason == "PodInitializing":
			// It waits for another container, which is judged itself.
		case w != nil && w.Reason == "ContainerCreating" && unready <= creationGrace:
		case w != nil && slices.Contains(refusals, w.Reason) && unready > pullGrace:
			return fmt.Sprintf("container %s does not start: %s", s.Name, w.Reason)
		case unready > grace && w != nil:
			return fmt.Sprintf("container %s does not start: %s", s.Name, w.Reason)
		case unready > grace && s.State.Running != nil:
			return fmt.Sprintf("container %s runs but is not ready", s.Name)
		}
	}
	return ""
}

// recentlyDied separates a crash loop from a container that was restarted long ago and has been starting since.
func recentlyDied(s corev1.ContainerStatus, now time.Time) bool {
	died := s.LastTerminationState.Terminated
	if s.State.Terminated != nil {
		died = s.State.Terminated
	}
	return died != nil && now.Sub(died.FinishedAt.Time) < creationGrace
}

func lastWords(s corev1.ContainerStatus) string {
	for _, state := range []corev1.ContainerState{s.State, s.LastTerminationState} {
		if t := state.Terminated; t != nil {
			return fmt.Sprintf("%s, exit code %d, %d restarts", t.Reason, t.ExitCode, s.RestartCount)
		}
	}
	return fmt.Sprintf("%d restarts", s.RestartCount)
}

// unreadySince is the latest moment at which the container may have become unready.
func unreadySince(p *corev1.Pod, s corev1.ContainerStatus) time.Time {
	since := p.CreationTimestamp.Time
	consider := func(t time.Time) {
		if t.After(since) {
			since = t
		}
	}
	if s.State.Running != nil {
		consider(s.State.Running.StartedAt.Time)
	}
	for _, c := range p.Status.Conditions {
		if (c.Type == corev1.PodReady && c.Status != corev1.ConditionTrue) || c.Type == corev1.PodScheduled {
			consider(c.LastTransitionTime.Time)
		}
	}
	return since
}
