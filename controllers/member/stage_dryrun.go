package member

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/preflight"
)

// retryAll is how long the API server's consent to an object is remembered: policies and quotas change meanwhile.
const retryAll = 10 * time.Minute

// dryRun asks the API server whether it takes the objects of the target.
func (s *stages) dryRun(ctx context.Context, pass *member.Pass, target []apply.Component) preflight.Finding {
	last := &s.memory.Of(pass).lastPreflight
	if upgrade := pass.Object.Spec.Rollout.Upgrade; last.upgrade != upgrade || pass.Now.Sub(last.tried) >= retryAll {
		pass.Applier().Recheck()
		last.upgrade, last.tried = upgrade, pass.Now
	}
	var errs []error
	objects := 0
	for _, c := range target {
		objects += len(c.Objects)
		errs = append(errs, pass.Applier().DryRun(ctx, c))
	}
	return objectsFinding(objects, errors.Join(errs...))
}

// objectsFinding says what a dry run has found. Only an object that is invalid is a failure: a policy or a quota can be changed, and
// what RBAC forbids is found by the check of permissions. What the API server could not tell of one object is no reason to wait: it
// may lie in the dry run, as with a webhook that does not support any or a role that does not exist yet.
func objectsFinding(objects int, err error) preflight.Finding {
	f := preflight.Finding{Name: string(meshv1alpha1.CheckObjects)}
	untold := 0
	for _, one := range mesh.Leaves(err) {
		refusal := apply.AsRefusal(one)
		var answer apierrors.APIStatus
		switch {
		case refusal != nil && refusal.Kind == apply.RefusedInvalid:
			f.Failures = append(f.Failures, refusal.Error())
		case refusal != nil && refusal.Kind == apply.RefusedPermission:
			untold++
		case refusal != nil:
			f.Problems = append(f.Problems, refusal.Error())
		case errors.Is(one, apply.ErrConflict):
			f.Problems = append(f.Problems, one.Error())
		case errors.As(one, &answer), meta.IsNoMatchError(one):
			untold++
		default:
			f.Err = one
		}
	}
	f.Note = fmt.Sprintf("the API server takes %d objects", objects-untold)
	if untold > 0 {
		f.Note += fmt.Sprintf(", and could not tell of %d", untold)
	}
	return f
}
