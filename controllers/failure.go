package controllers

import (
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/phase"
)

// failed says what an error of a phase means: whether trying again can help, and which reason people are told.
func failed(err error) phase.Result {
	switch {
	case errors.Is(err, apply.ErrConflict):
		return stalled(meshv1alpha1.ReasonObjectConflict, err)
	case errors.Is(err, apply.ErrTerminating):
		return phase.Waiting(meshv1alpha1.ReasonProgressing, err.Error(), shortWait)
	case errors.Is(err, charts.ErrNoChart):
		return stalled(meshv1alpha1.ReasonVersionUnsupported, err)
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
		return stalled(meshv1alpha1.ReasonObjectInvalid, err)
	case apply.RefusedByPolicy:
		return stalled(meshv1alpha1.ReasonAdmissionDenied, err)
	case apply.RefusedByQuota:
		return stalled(meshv1alpha1.ReasonQuotaExceeded, err)
	case apply.RefusedPermission:
	}
	return phase.Retrying(meshv1alpha1.ReasonPermissionDenied, err)
}

// stalled looks again now and then, because what helps may happen in a member, where nothing tells us of it.
func stalled(reason string, err error) phase.Result {
	r := phase.Stall(reason, err)
	r.After = recheck
	return r
}
