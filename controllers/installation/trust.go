package installation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/metrics"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/parts/trust"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/status"
)

// askAgain is the pace at which members that have not answered yet are counted again.
const askAgain = 10 * time.Second

func (r *Reconciler) trust() trust.Hub { return trust.Hub{Client: r.Client} }

// formerMembers are the members that are no longer in the spec and not gone yet. They keep their certificates.
func formerMembers(inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember) []string {
	isNamed := make(map[string]bool, len(inst.Spec.Members))
	for i := range inst.Spec.Members {
		isNamed[inst.Spec.Members[i].Name] = true
	}
	var out []string
	for i := range members {
		if !isNamed[members[i].Spec.Cluster] {
			out = append(out, members[i].Spec.Cluster)
		}
	}
	return out
}

// certificates pins the root and makes the members' intermediates. The members wait for their own. A root that is lost or
// is another one stalls it, and holds up nothing else: members keep what they have.
func (r *Reconciler) certificates(
	ctx context.Context, inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember,
) phase.Result {
	pin := plan.PinnedRoot(inst, members, r.Now())
	switch {
	case len(pin.Witnesses) > 0:
		return outcome.Stalled(meshv1alpha1.ReasonForeignRoot, rootsDiffer(pin.Witnesses))
	case len(pin.Unasked) > 0:
		return phase.Waiting(meshv1alpha1.ReasonWaitingForMembers, "no root is made or trusted before it is known whether members have one: waiting for "+
			mesh.List(pin.Unasked, len(pin.Unasked)), askAgain)
	}
	inst.Status.Trust.PinnedRoot = pin.Root
	waiting, err := r.trust().Ensure(ctx, inst, r.Now(), formerMembers(inst, members)...)
	switch {
	case errors.Is(err, trust.ErrRootMissing):
		return outcome.Stalled(meshv1alpha1.ReasonRootMissing, err)
	case errors.Is(err, trust.ErrRootChanged):
		return outcome.Stalled(meshv1alpha1.ReasonRootChanged, err)
	case errors.Is(err, trust.ErrRootUnusable):
		return outcome.Stalled(meshv1alpha1.ReasonRootUnusable, err)
	case apierrors.IsConflict(err):
		return phase.Waiting(meshv1alpha1.ReasonProgressing, "the objects of the root have just changed", outcome.ShortWait)
	case err != nil:
		return outcome.Failed(err)
	case waiting != "":
		return phase.Waiting(meshv1alpha1.ReasonWaitingForCertificate, waiting, outcome.ShortWait).
			Overdue(inst.CreationTimestamp.Time, r.Now(), trust.IssueDeadline, meshv1alpha1.ReasonDeadlineExceeded)
	}
	return phase.Complete(meshv1alpha1.ReasonReady, "")
}

// holdsUp says whether nothing can be planned before the certificates' result is another.
func holdsUp(certificates phase.Result) bool {
	switch certificates.Reason {
	case meshv1alpha1.ReasonRootMissing, meshv1alpha1.ReasonRootChanged, meshv1alpha1.ReasonForeignRoot, meshv1alpha1.ReasonRootUnusable:
		return false
	}
	return certificates.Kind != phase.Done && certificates.Kind != phase.Wait
}

// rootsDiffer says which members have which root, when none is pinned.
func rootsDiffer(witnesses map[string][]string) error {
	var parts []string
	for _, root := range slices.Sorted(maps.Keys(witnesses)) {
		parts = append(parts, fmt.Sprintf("%s has root %s", mesh.List(witnesses[root], len(witnesses[root])), mesh.ShortRoot(strings.Split(root, ","))))
	}
	return fmt.Errorf("members have different roots, so none is pinned and no signing certificate is given out: %s; take the members "+
		"with the wrong root out of spec.members, and add them again when they are gone", mesh.Sentences(parts, mesh.NamesShown))
}

const (
	// rootNotice bounds the time before the end at which a root is reported as expiring. A root cannot be replaced in a running mesh: everything must move to another mesh meanwhile.
	rootNotice = 365 * 24 * time.Hour
)

// rootExpiry reports the end of the pinned root's life. Ready does not depend on it. There is nothing to report of a root that has never
// been on the hub.
func (r *Reconciler) rootExpiry(ctx context.Context, inst *meshv1alpha1.MeshInstallation) ([]status.Outcome, error) {
	if len(inst.Status.Trust.PinnedRoot) == 0 {
		return nil, nil
	}
	from, to, err := r.trust().RootLifetime(ctx, inst)
	if err != nil {
		return nil, err
	}
	if !to.IsZero() {
		inst.Status.Trust.NotAfter = &metav1.Time{Time: to}
	}
	if inst.Status.Trust.NotAfter == nil {
		return nil, nil
	}
	to = inst.Status.Trust.NotAfter.Time
	metrics.SetRootExpiry(client.ObjectKeyFromObject(inst), to)
	result := judgeRoot(from, to, trust.IntermediateDuration(inst), r.Now())
	return []status.Outcome{{Type: meshv1alpha1.ConditionTrustRootCurrent, Aside: true, Result: result}}, nil
}

// judgeRoot says whether a root expires soon: in a fifth of its life and within a year, or before an intermediate that is issued now. A zero
// beginning is not known.
func judgeRoot(from, to time.Time, intermediate time.Duration, now time.Time) phase.Result {
	const cure = "a mesh cannot change its root yet: create a MeshInstallation with another root, and move the members there before that time"
	expires, left := to.UTC().Format(time.RFC3339), to.Sub(now)
	e := outcome.Expiry{
		NotBefore: from, NotAfter: to, Notice: rootNotice,
		Current: phase.Complete(meshv1alpha1.ReasonReady, "the root expires at "+expires),
		Expiring: phase.Waiting(meshv1alpha1.ReasonRootExpiring, fmt.Sprintf("the root expires at %s, and no certificate of the mesh is valid for longer: %s",
			expires, cure), 0),
		Expired: phase.Waiting(meshv1alpha1.ReasonRootExpired, fmt.Sprintf("the root expired at %s, and no certificate of the mesh is valid: create "+
			"a MeshInstallation with another root, and move the members there", expires), 0),
	}
	if left <= intermediate {
		e.Current = phase.Waiting(meshv1alpha1.ReasonRootExpiring, fmt.Sprintf("the root expires at %s, before an intermediate of %s that is issued now: %s",
			expires, intermediate, cure), 0)
	}
	result := e.Judge(now)
	if left > intermediate {
		result.After = min(result.After, max(left-intermediate, outcome.ShortWait))
	}
	return result
}
