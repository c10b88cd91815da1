package harness

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Leader is who holds the operator's lease: the name of its pod, an underscore, and what identifies the process. Empty: nobody.
func (e *Env) Leader(ctx context.Context) (string, error) {
	lease := &coordinationv1.Lease{}
	if err := e.Hub.Client.Get(ctx, types.NamespacedName{Namespace: OperatorNamespace, Name: leaderElectionID}, lease); err != nil {
		return "", fmt.Errorf("get the operator's lease: %w", err)
	}
	if lease.Spec.HolderIdentity == nil {
		return "", nil
	}
	return *lease.Spec.HolderIdentity, nil
}

// AwaitLeader waits until another process than the given one holds the operator's lease, and returns it.
func (e *Env) AwaitLeader(ctx context.Context, former string, deadline time.Duration) (leader string, err error) {
	err = Await(ctx, "a leader of the operator", deadline, func(ctx context.Context) (bool, string, error) {
		leader, err = e.Leader(ctx)
		return err == nil && leader != "" && leader != former, fmt.Sprintf("held by %q", leader), err
	})
	return leader, err
}

// leaderPod is the pod of a process that holds the lease.
func (e *Env) leaderPod(ctx context.Context, leader string) (*corev1.Pod, error) {
	name, _, _ := strings.Cut(leader, "_")
	pod := &corev1.Pod{}
	if err := e.Hub.Client.Get(ctx, types.NamespacedName{Namespace: OperatorNamespace, Name: name}, pod); err != nil {
		return nil, fmt.Errorf("get the pod of the operator's leader: %w", err)
	}
	return pod, nil
}

// StopLeader deletes the pod of a leader, as the drain of a node does. The process has the time to give the lease back. It does not wait.
func (e *Env) StopLeader(ctx context.Context, leader string) error {
	pod, err := e.leaderPod(ctx, leader)
	if err != nil {
		return err
	}
	if err := e.Hub.Client.Delete(ctx, pod, client.Preconditions{UID: &pod.UID}); err != nil {
		return fmt.Errorf("delete the pod of the operator's leader: %w", err)
	}
	return nil
}

// KillLeader ends the process of a leader at once, as the failure of a node does: the lease stays until it expires. Its pod is deleted, so that no
// process in it comes back before the other replica.
func (e *Env) KillLeader(ctx context.Context, leader string) error {
	if e.IsAttached() {
		return errors.New("kill the operator: its processes are on another machine")
	}
	pod, err := e.leaderPod(ctx, leader)
	if err != nil {
		return err
	}
	if err := killProcesses("pod" + string(pod.UID)); err != nil {
		return err
	}
	gone := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}}
	if err := e.Hub.Client.Delete(ctx, gone, client.GracePeriodSeconds(0)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete the pod of the killed leader: %w", err)
	}
	return nil
}
