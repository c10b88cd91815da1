package workloads

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// evictionTimeout bounds one eviction. The API server asks clients to wait for a PodDisruptionBudget that was just
// changed, and clients do: the next pass asks again.
const evictionTimeout = 5 * time.Second

// errProtected is wrapped when a PodDisruptionBudget does not let a pod go.
var errProtected = errors.New("a PodDisruptionBudget forbids the eviction")

// Evict evicts the pods that a workload shall lose now. First it notes on the workload for which revision, not on its
// template: nothing is rolled out by that. If the workload has changed since it was read, it does nothing and the next
// pass decides anew. Error: errProtected when the first pod may not go.
func Evict(ctx context.Context, c client.Client, w Workload, now time.Time) error {
	isCurrent, err := note(ctx, c, w, now)
	if err != nil || !isCurrent {
		return evictionOf(w, err)
	}
	for i, p := range w.Evict {
		err := evict(ctx, c, p)
		if errors.Is(err, errProtected) && i > 0 {
			return nil
		}
		if err != nil {
			return evictionOf(w, err)
		}
	}
	return nil
}

func evictionOf(w Workload, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("evict pods of %s: %w", w.Reference, err)
}

// note writes down that the eviction has begun, once for each revision, and says whether the workload is as it was read. Owners of other
// kinds are neither read nor written: their pods are all that is known.
func note(ctx context.Context, c client.Client, w Workload, now time.Time) (isCurrent bool, err error) {
	object, _ := object(w.Reference)
	if object == nil {
		return true, nil
	}
	at := w.EvictedAt
	if last, _ := w.lastMove(); last != w.Target || w.EvictedFor != w.Target {
		at = now.UTC().Format(time.RFC3339)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": w.Version, "annotations": map[string]any{forAnnotation: w.Target, atAnnotation: at},
	}})
	if err != nil {
		return false, err
	}
	object.SetNamespace(w.Namespace)
	object.SetName(w.Name)
	err = c.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(fieldManager))
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// evict asks the API server to let one pod go, which deletes it within its PodDisruptionBudget.
func evict(ctx context.Context, c client.Client, p Pod) error {
	ctx, cancel := context.WithTimeout(ctx, evictionTimeout)
	defer cancel()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name}}
	err := c.SubResource("eviction").Create(ctx, pod, &policyv1.Eviction{
		ObjectMeta: pod.ObjectMeta,
		// A StatefulSet makes a new pod of the same name.
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}},
	})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return nil
	case apierrors.IsTooManyRequests(err):
		return fmt.Errorf("%w: pod %s: %w", errProtected, p.Name, err)
	case err != nil:
		return fmt.Errorf("pod %s: %w", p.Name, err)
	}
	return nil
}
