package rollout

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// survey orders a preflight in every member that is to change, of all waves at once. It only looks: so people learn of
// everything that is in the way before anything changes, and who approves a wave sees what it will do.
func (r *rollout) survey() {
	for _, p := range r.members {
		if p.ordered == "" && p.isUntouched() && p.isReachable {
			r.order(p, meshv1alpha1.StagePreflight)
		}
	}
}

// obstacle says why no member may begin now, empty if one may: a member cannot be reached, or nothing has begun and some
// preflight has not passed. Once an upgrade is under way, a preflight holds only its own member. It is for others to
// act when isStuck.
func (v *view) obstacle() (why string, isStuck bool) {
	if down := v.unreachable(); len(down) > 0 {
		return "unreachable members: " + mesh.Capped(down) + v.hubHint(), true
	}
	if slices.ContainsFunc(v.members, (*progress).hasBegun) {
		return "", false
	}
	return preflights(v.members)
}

// unreachable are the members that have served and do not answer, if the upgrade waits for them. It does not wait for those
// that maxFailures lets it leave behind.
func (v *view) unreachable() []string {
	if v.UnreachablePeers == meshv1alpha1.UnreachablePeersIgnore {
		return nil
	}
	var down []string
	left := v.leftBehind()
	for i := range v.Members {
		m := &v.Members[i]
		answers := meta.IsStatusConditionTrue(m.Status.Conditions, meshv1alpha1.ConditionReachable)
		isGivenUp := slices.Contains(v.status.Failed, m.Spec.Cluster) || slices.Contains(left, m.Spec.Cluster)
		if !answers && mesh.HasServed(m) && !mesh.IsLeaving(m) && !isGivenUp {
			down = append(down, m.Spec.Cluster)
		}
	}
	return down
}

// preflights says which members' preflight has not passed, and why. Those that cannot be reached are not among them. It
// is for others to act when one of them isBlocked.
func preflights(members []*progress) (why string, isBlocked bool) {
	const shown = 3
	var said, open []string
	for _, p := range members {
		switch {
		case !p.isUntouched() || !p.isReachable || p.reports(meshv1alpha1.StageDone):
		case p.reports(meshv1alpha1.StageInconclusive):
			said = append(said, fmt.Sprintf("member %q", p.name)+p.says(meshv1alpha1.VerdictInconclusive, meshv1alpha1.VerdictError))
		default:
			open = append(open, p.name)
		}
	}
	isBlocked = len(said) > 0
	if isBlocked {
		said = []string{mesh.Sentences(said, shown)}
	}
	if len(open) > 0 {
		said = append(said, "not finished: "+mesh.Capped(open))
	}
	if len(said) == 0 {
		return "", false
	}
	return "preflight: " + strings.Join(said, "; "), isBlocked
}

// explain adds to the status what keeps members of the wave from beginning. The upgrade stands still, and says so, when
// it is for others to act and nobody of the wave changes meanwhile.
func (r *rollout) explain(w *meshv1alpha1.PlannedWave) {
	members := r.of[w.Name]
	if !slices.ContainsFunc(members, (*progress).isUntouched) {
		return
	}
	why, isStuck := r.obstacle()
	if why == "" {
		why, isStuck = preflights(members)
	}
	if why == "" {
		return
	}
	r.out.Status.Message += "; " + why
	isBusy := func(p *progress) bool { return p.hasBegun() && !p.isFailed && !p.isMoved() }
	if !isStuck || slices.ContainsFunc(members, isBusy) {
		return
	}
	if len(r.unreachable()) > 0 {
		r.hold(meshv1alpha1.ReasonMembersNotReporting, r.out.Status.Message,
			"restore the connection, set spec.upgrade.unreachablePeers to Ignore, or abort the upgrade")
		return
	}
	r.hold(meshv1alpha1.ReasonPreflightBlocked, r.out.Status.Message,
		"remove what is in the way, name the check in spec.upgrade.ignoreChecks, or abort the upgrade")
}
