package workloads

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/meshfleet/meshfleet/internal/member"
)

const fieldManager = "meshfleet"

// Restart restarts a workload for its target revision, unless it has been restarted, changed by somebody else at the
// same moment, or deleted since it was read: then it does nothing and the next pass decides anew.
func Restart(ctx context.Context, c client.Client, w Workload, now time.Time) error {
	object, template := object(w.Reference)
	if object == nil {
		return fmt.Errorf("restart %s: not a kind that can be restarted", w.Reference)
	}
	if err := c.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: w.Name}, object); err != nil {
		return wrap(w, client.IgnoreNotFound(err))
	}
	if template.Annotations[forAnnotation] != w.RestartedFor || template.Annotations[atAnnotation] != w.RestartedAt {
		return nil
	}
	patch, err := json.Marshal(map[string]any{
		// Only the object that was read, as it was read.
		"metadata": map[string]any{"uid": object.GetUID(), "resourceVersion": object.GetResourceVersion()},
		"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": map[string]any{
			forAnnotation: w.Target,
			atAnnotation:  now.UTC().Format(time.RFC3339),
		}}}},
	})
	if err != nil {
		return wrap(w, err)
	}
	err = c.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(fieldManager))
	if apierrors.IsConflict(err) {
		return nil
	}
	return wrap(w, client.IgnoreNotFound(err))
}

func wrap(w Workload, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("restart %s: %w", w.Reference, err)
}

// object is an empty object of the kind, with its pod template.
func object(r Reference) (client.Object, *metav1.ObjectMeta) {
	template := func(t *corev1.PodTemplateSpec) *metav1.ObjectMeta { return &t.ObjectMeta }
	switch r.Kind {
	case member.KindDeployment:
		o := &appsv1.Deployment{}
		return o, template(&o.Spec.Template)
	case member.KindStatefulSet:
		o := &appsv1.StatefulSet{}
		return o, template(&o.Spec.Template)
	case member.KindDaemonSet:
		o := &appsv1.DaemonSet{}
		return o, template(&o.Spec.Template)
	}
	return nil, nil
}

// Move brings the workloads one step further: it reads the member, and restarts what may be restarted now. Every
// restart is tried; what the member refuses is Blocked, the error joins all other failures.
func Move(ctx context.Context, c client.Client, read *member.World, r Request) (Report, error) {
	world, err := Observe(ctx, read, r)
	if err != nil {
		return Report{}, err
	}
	report, batch := Plan(world, r)
	var failures []error
	for _, w := range batch {
		act := Restart
		if len(w.Evict) > 0 {
			act = Evict
		}
		switch err := act(ctx, c, w, r.Now); {
		case errors.Is(err, errProtected) && !w.IsComplete():
			// Its budget is used up by what was evicted before.
		case isRefused(err):
			report.refuse(w, err)
		default:
			failures = append(failures, err)
		}
	}
	return report, errors.Join(failures...)
}

// isRefused says whether the member's policies forbid it: only people can change that.
func isRefused(err error) bool {
	return errors.Is(err, errProtected) || apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err)
}

// refuse says that a workload of the batch could not be restarted.
func (r *Report) refuse(w Workload, err error) {
	r.Restarting = slices.DeleteFunc(r.Restarting, func(entry string) bool { return entry == w.String() })
	r.Blocked = append(r.Blocked, w.String()+": "+errors.Unwrap(err).Error())
	slices.Sort(r.Blocked)
}
