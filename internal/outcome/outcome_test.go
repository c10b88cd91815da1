package outcome

import (
	"context"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/phase"
)

func TestFailed(t *testing.T) {
	forbidden := apierrors.NewForbidden(corev1.Resource("secrets"), "cacerts", nil)
	refused := func(kind apply.RefusalKind) error {
		return fmt.Errorf("apply x: %w", &apply.Refusal{Object: apply.Reference{Kind: "Deployment", Name: "istiod"}, Kind: kind, Err: errors.New("no")})
	}
	cases := map[string]struct {
		err        error
		wantKind   phase.Kind
		wantReason string
	}{
		"an object of somebody else needs a person":  {apply.ErrConflict, phase.Stalled, meshv1alpha1.ReasonObjectConflict},
		"a version without charts needs a person":    {charts.ErrNoChart, phase.Stalled, meshv1alpha1.ReasonVersionUnsupported},
		"a namespace that goes away is waited for":   {apply.ErrTerminating, phase.Wait, meshv1alpha1.ReasonProgressing},
		"a missing permission is tried again":        {forbidden, phase.Retry, meshv1alpha1.ReasonPermissionDenied},
		"an object that is invalid needs a person":   {refused(apply.RefusedInvalid), phase.Stalled, meshv1alpha1.ReasonObjectInvalid},
		"a policy needs a person":                    {refused(apply.RefusedByPolicy), phase.Stalled, meshv1alpha1.ReasonAdmissionDenied},
		"a quota needs a person":                     {refused(apply.RefusedByQuota), phase.Stalled, meshv1alpha1.ReasonQuotaExceeded},
		"RBAC that refuses an object is asked again": {refused(apply.RefusedPermission), phase.Retry, meshv1alpha1.ReasonPermissionDenied},
		"anything else is tried again":               {context.DeadlineExceeded, phase.Retry, meshv1alpha1.ReasonRetrying},
		"a conflict among other failures":            {errors.Join(errors.New("another"), fmt.Errorf("apply x: %w", apply.ErrConflict)), phase.Stalled, meshv1alpha1.ReasonObjectConflict},
		"a missing permission among other failures":  {errors.Join(errors.New("another"), fmt.Errorf("apply x: %w", forbidden)), phase.Retry, meshv1alpha1.ReasonPermissionDenied},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := Failed(c.err)
			if got.Kind != c.wantKind || got.Reason != c.wantReason {
				t.Errorf("kind %v, reason %q, want %v and %q", got.Kind, got.Reason, c.wantKind, c.wantReason)
			}
			if got.Kind != phase.Wait && !errors.Is(got.Err, c.err) {
				t.Errorf("the result lost the error: %v", got.Err)
			}
			if got.Text() == "" {
				t.Error("people are told nothing")
			}
			// No watch tells of what happens in a member.
			if got.Kind != phase.Retry && got.After == 0 {
				t.Error("nothing ends it")
			}
		})
	}
}

func TestStalledOr(t *testing.T) {
	cause := errors.New("the cause")
	if got := StalledOr(fmt.Errorf("found %w", cause), cause, "Reason"); got.Kind != phase.Stalled || got.Reason != "Reason" {
		t.Errorf("the cause gives %+v", got)
	}
	if got := StalledOr(errors.New("another"), cause, "Reason"); got.Kind != phase.Retry {
		t.Errorf("another error gives %+v", got)
	}
}

func TestIgnore(t *testing.T) {
	conflict := apierrors.NewConflict(corev1.Resource("secrets"), "s", errors.New("changed"))
	gone := apierrors.NewNotFound(corev1.Resource("secrets"), "s")
	broken := errors.New("broken")
	if IgnoreConflict(conflict) != nil || !errors.Is(IgnoreConflict(broken), broken) || !apierrors.IsNotFound(IgnoreConflict(gone)) {
		t.Error("IgnoreConflict drops more or less than conflicts")
	}
	if IgnoreGone(conflict) != nil || IgnoreGone(gone) != nil || !errors.Is(IgnoreGone(broken), broken) {
		t.Error("IgnoreGone drops more or less than conflicts and what is not found")
	}
}
