package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

const (
	// restartGap is the least time between two restarts of one member's istiod: what a restart does not cure, another one at
	// once does not cure either. It doubles with each that was not proved, up to restartMaxGap.
	restartGap    = 10 * time.Minute
	restartMaxGap = 6 * time.Hour
	// RestartDeadline is how long a restart may take before the next member need not wait for it.
	RestartDeadline = 15 * time.Minute
	// lateRestarts is how many restarts may be late before no other is ordered: they fail for one cause then.
	lateRestarts = 2
)

// restartState is what speaks for and against restarts now.
type restartState struct {
	candidates                               []restartCandidate
	restarting, late, unreachable, inTransit []string
}

type restartCandidate struct {
	member  *meshv1alpha1.MeshMember
	desired *meshv1alpha1.MeshMember
	reason  string
	message string
	adopts  bool
}

// OrderRestarts orders the restart of istiod in one member that needs it, and returns why others wait. Empty: none does.
//
// An istiod that starts while a peer cannot be reached serves without that peer's endpoints. So none is restarted while a member
// that serves is unreachable, nor while an upgrade changes one: its gates could not tell the two apart.
func OrderRestarts(p *MembersPlan, members []meshv1alpha1.MeshMember, now time.Time) (waiting string) {
	s := observeRestarts(p, members, now)
	if len(s.candidates) == 0 {
		return ""
	}
	// What is broken comes before what only is to change.
	slices.SortFunc(s.candidates, func(a, b restartCandidate) int {
		switch {
		case a.adopts == b.adopts:
			return strings.Compare(a.member.Name, b.member.Name)
		case b.adopts:
			return -1
		}
		return 1
	})
	obstacle := s.obstacle()
	if obstacle == "" {
		c := s.candidates[0]
		c.desired.Spec.IstiodRestart = &meshv1alpha1.IstiodRestart{
			OrderedAt: metav1.NewTime(now.UTC().Truncate(time.Second)), Reason: c.reason, Attempt: failedRestarts(c.member) + 1,
		}
		c.desired.Spec.ReaderTokens = meshv1alpha1.ReaderTokensFile
		s.candidates, obstacle = s.candidates[1:], "istiod of "+c.member.Spec.Cluster+" is restarted first"
	}
	if len(s.candidates) == 0 {
		return ""
	}
	var names []string
	for _, c := range s.candidates {
		names = append(names, c.member.Spec.Cluster)
	}
	return fmt.Sprintf("restart of istiod waits in %d members (%s): %s (%s); %s",
		len(names), mesh.Capped(names), s.candidates[0].reason, s.candidates[0].message, obstacle)
}

func observeRestarts(p *MembersPlan, members []meshv1alpha1.MeshMember, now time.Time) restartState {
	var s restartState
	present := map[string]*meshv1alpha1.MeshMember{}
	for i := range members {
		present[members[i].Name] = &members[i]
	}
	for _, desired := range p.toServe() {
		m := present[desired.Name]
		if m == nil || !mesh.HasServed(m) {
			continue
		}
		name := m.Spec.Cluster
		if !meta.IsStatusConditionTrue(m.Status.Conditions, meshv1alpha1.ConditionReachable) {
			s.unreachable = append(s.unreachable, name)
		}
		if r := desired.Spec.Rollout; r != nil && isInTransit(r.Stage) {
			s.inTransit = append(s.inTransit, name)
		}
		var since time.Duration
		if o := m.Spec.IstiodRestart; o != nil {
			since = now.Sub(o.OrderedAt.Time)
		}
		switch {
		case mesh.IsRestarting(m) && since < RestartDeadline:
			s.restarting = append(s.restarting, name)
			continue
		case mesh.IsRestarting(m):
			s.late = append(s.late, name)
		}
		c := restartCandidate{member: m, desired: desired}
		if c.reason, c.message = restartReason(m); c.reason != "" && (m.Spec.IstiodRestart == nil || since >= gapAfter(m)) {
			c.adopts = c.reason == meshv1alpha1.ReasonTokensInline
			s.candidates = append(s.candidates, c)
		}
	}
	return s
}

// toServe are the work orders of the members that serve or are to serve: those of the spec, and those that wait for their workloads
// before they leave.
func (p *MembersPlan) toServe() []*meshv1alpha1.MeshMember {
	var out []*meshv1alpha1.MeshMember
	for i := range p.Desired {
		out = append(out, &p.Desired[i])
	}
	for i := range p.Leaving {
		if p.Leaving[i].Spec.Removal == meshv1alpha1.RemovalWhenUnused {
			out = append(out, &p.Leaving[i])
		}
	}
	return out
}

// failedRestarts is the number of restarts in a row that were ordered and not proved.
func failedRestarts(m *meshv1alpha1.MeshMember) int32 {
	if !mesh.IsRestarting(m) {
		return 0
	}
	return m.Spec.IstiodRestart.Attempt
}

// gapAfter is the time from the last order to the next one.
func gapAfter(m *meshv1alpha1.MeshMember) time.Duration {
	gap := restartGap
	for range max(failedRestarts(m)-1, 0) {
		if gap *= 2; gap >= restartMaxGap {
			return restartMaxGap
		}
	}
	return gap
}

// restartReason is why the member's istiod must be restarted. Empty: it need not be.
func restartReason(m *meshv1alpha1.MeshMember) (reason, message string) {
	if need := m.Status.Discovery.RestartNeeded; need != nil {
		return need.Reason, need.Message
	}
	if !mesh.ReadsTokenFiles(&m.Spec) {
		return meshv1alpha1.ReasonTokensInline, "its remote secrets contain tokens that end"
	}
	return "", ""
}

// obstacle is why no restart is ordered now. Empty: one may be.
func (s *restartState) obstacle() string {
	switch {
	case len(s.unreachable) > 0:
		return "not while a member cannot be reached: " + mesh.Capped(s.unreachable)
	case len(s.inTransit) > 0:
		return "not while an upgrade changes a member: " + mesh.Capped(s.inTransit)
	case len(s.restarting) > 0:
		return "istiod is being restarted in " + mesh.Capped(s.restarting)
	case len(s.late) >= lateRestarts:
		return fmt.Sprintf("restarts have not been proved within %s in %s; see these members' ControlPlanesReady", RestartDeadline, mesh.Capped(s.late))
	}
	return ""
}

// isInTransit says whether a member changes at a stage of an upgrade.
func isInTransit(stage meshv1alpha1.Stage) bool {
	switch stage {
	case meshv1alpha1.StageInstall, meshv1alpha1.StageGateways, meshv1alpha1.StageWorkloads, meshv1alpha1.StageRollback:
		return true
	}
	return false
}
