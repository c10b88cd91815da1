package member

import (
	"slices"
	"strings"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/parts/controlplane"
	"github.com/meshfleet/meshfleet/internal/parts/eastwest"
	"github.com/meshfleet/meshfleet/internal/phase"
)

// refusedTarget remembers since when the API server has refused what an upgrade brings.
type refusedTarget struct {
	upgrade string
	since   time.Time
}

// noteRefusal keeps the first refusal of this pass that speaks against the target of the upgrade under way.
func noteRefusal(s *scope, err error) {
	refusal, order := apply.AsRefusal(err), s.member.Spec.Rollout
	if refusal == nil || !refusal.IsFinal() || order == nil || s.refused != nil || !goesForward(order.Stage) {
		return
	}
	ofTarget := []string{controlplane.RevisionPrefix + order.To, controlplane.CRDs, controlplane.Base, controlplane.Reader, controlplane.Tags}
	isGateway := strings.HasPrefix(refusal.Component, eastwest.Prefix) && s.member.Spec.GatewayRevision == order.To
	if isGateway || slices.Contains(ofTarget, refusal.Component) {
		s.refused = refusal
	}
}

// refusal says whether the stage has failed because the API server refuses the target, and with which words. An object that is invalid
// stays so. A policy or a quota may have been a moment behind, and must refuse for as long as a gate must.
func (s *scope) refusal() (isFailed bool, words string) {
	last := &s.state.refused
	if s.refused == nil {
		*last = refusedTarget{}
		return false, ""
	}
	if upgrade := s.member.Spec.Rollout.Upgrade; last.upgrade != upgrade {
		*last = refusedTarget{upgrade, s.now}
	}
	return s.refused.Kind == apply.RefusedInvalid || s.now.Sub(last.since) >= gate.FailAfter, s.refused.Error()
}

// goesForward says whether a stage brings the target into a member.
func goesForward(stage meshv1alpha1.Stage) bool {
	switch stage {
	case meshv1alpha1.StageInstall, meshv1alpha1.StageGateways, meshv1alpha1.StageWorkloads, meshv1alpha1.StageSoak:
		return true
	case meshv1alpha1.StagePreflight, meshv1alpha1.StageRetire, meshv1alpha1.StageRollBack, meshv1alpha1.StageDiscard:
	}
	return false
}

// isGoingBack says whether the member leaves the target of an upgrade. Nothing of that is needed then.
func isGoingBack(m *meshv1alpha1.MeshMember) bool {
	o := m.Spec.Rollout
	return o != nil && (o.Stage == meshv1alpha1.StageRollBack || o.Stage == meshv1alpha1.StageDiscard)
}

// withoutTarget is the work order of a member that goes back, as far as the former revision needs it.
func withoutTarget(m *meshv1alpha1.MeshMember) *meshv1alpha1.MeshMemberSpec {
	spec := m.Spec.DeepCopy()
	if isGoingBack(m) {
		spec.Revisions = slices.DeleteFunc(spec.Revisions, func(r meshv1alpha1.Revision) bool { return r.Name == m.Spec.Rollout.To })
	}
	return spec
}

// interrupted says what it means for a stage that a phase which comes before it did not get done. A preflight cannot pass. A stage that
// brings the target fails if that is what was refused, and else says what it waits for. A member that does not answer is not judged: the
// upgrade knows of it by itself.
func interrupted(s *scope, name string, result phase.Result) {
	st := s.member.Status.Rollout
	if st == nil || s.remote == nil {
		return
	}
	words := "the member is not well (" + name + "): " + result.Text()
	switch {
	case st.Stage == meshv1alpha1.StagePreflight:
		s.state.surveyed.order = ""
		st.State, st.Message, st.Gates = meshv1alpha1.StageInconclusive, words, nil
	case isGoingBack(s.member) && st.State != meshv1alpha1.StageDone:
		st.Message = words
	case goesForward(st.Stage):
		isFailed, refusal := s.refusal()
		if isFailed {
			st.State, st.Message = meshv1alpha1.StageFailed, refusal
		} else if st.State == meshv1alpha1.StageProgressing {
			st.Message = words
		}
	}
}
