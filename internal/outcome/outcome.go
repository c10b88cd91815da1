// Package outcome says what an error of a pass means, for both reconcilers: the result of a phase, and when to come back.
package outcome

import (
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/phase"
)

const (
	// ShortWait is the pace at which something is looked at again that is expected to change soon.
	ShortWait = time.Second
	// PassDeadline bounds a pass. What it has written stays, and the next pass goes on from there.
	PassDeadline = 5 * time.Minute
	// Recheck is the pace at which something is looked at again that only people change.
	Recheck = time.Minute
)

// RateLimiter retries a failed pass after half a second, then ever more slowly, up to a minute.
func RateLimiter[T comparable]() workqueue.TypedRateLimiter[T] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[T](500*time.Millisecond, time.Minute)
}

// Written ends a pass after a write on the hub. After a conflict it comes back by itself: the newer object may differ in its status
// alone, and no watch reports that.
func Written(err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: ShortWait}, nil
	}
	return ctrl.Result{}, client.IgnoreNotFound(err)
}

// IgnoreConflict drops conflicts: the next pass sees the newer object.
func IgnoreConflict(err error) error {
	if apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// IgnoreGone drops conflicts, and the error of an object that does not exist any more.
func IgnoreGone(err error) error { return IgnoreConflict(client.IgnoreNotFound(err)) }

// Failed is the result of a phase that ended with an error: whether a retry can help, and the reason for status.
func Failed(err error) phase.Result {
	switch {
	case errors.Is(err, apply.ErrConflict):
		return Stalled(meshv1alpha1.ReasonObjectConflict, err)
	case errors.Is(err, apply.ErrTerminating):
		return phase.Waiting(meshv1alpha1.ReasonProgressing, err.Error(), ShortWait)
	case errors.Is(err, charts.ErrNoChart):
		return Stalled(meshv1alpha1.ReasonVersionUnsupported, err)
	case apply.AsRefusal(err) != nil:
		return refusedObject(apply.AsRefusal(err), err)
	case apierrors.IsForbidden(err):
		return phase.Retrying(meshv1alpha1.ReasonPermissionDenied, err)
	}
	return phase.Retrying(meshv1alpha1.ReasonRetrying, err)
}

// refusedObject says what a refusal means: only what RBAC forbids is worth trying again without a person.
func refusedObject(refusal *apply.Refusal, err error) phase.Result {
	switch refusal.Kind {
	case apply.RefusedInvalid:
		return Stalled(meshv1alpha1.ReasonObjectInvalid, err)
	case apply.RefusedByPolicy:
		return Stalled(meshv1alpha1.ReasonAdmissionDenied, err)
	case apply.RefusedByQuota:
		return Stalled(meshv1alpha1.ReasonQuotaExceeded, err)
	case apply.RefusedPermission:
	}
	return phase.Retrying(meshv1alpha1.ReasonPermissionDenied, err)
}

// Stalled is the result of a phase that only a person can help. It is tried again now and then, because the cure may be in a member,
// where no watch reports it.
func Stalled(reason string, err error) phase.Result {
	r := phase.Stall(reason, err)
	r.After = Recheck
	return r
}

// StalledOr is the result of a phase that only a person can help if the error has the cause, and Failed otherwise.
func StalledOr(err, cause error, reason string) phase.Result {
	if errors.Is(err, cause) {
		return Stalled(reason, err)
	}
	return Failed(err)
}

// RenderFailed is the result of a phase whose charts could not be rendered: the operator has no chart of the release, or the values do
// not fit it.
func RenderFailed(err error) phase.Result {
	if errors.Is(err, charts.ErrNoChart) || errors.Is(err, charts.ErrUnreadable) {
		return Failed(err)
	}
	return phase.Stall(meshv1alpha1.ReasonInvalidValues, err)
}
