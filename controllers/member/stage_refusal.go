package member

import (
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/phase"
)

// refusedTarget remembers since when the API server has refused what an upgrade brings.
type refusedTarget struct {
	upgrade string
	since   time.Time
}

// refusal says whether the stage has failed because the API server refuses the target, and with which words. An object that is invalid
// stays so. A policy or a quota may have been a moment behind, and must refuse for as long as a gate must.
func (s *stages) refusal(pass *member.Pass) (isFailed bool, words string) {
	last := &s.memory.Of(pass).refused
	refused := pass.Refused()
	if refused == nil {
		*last = refusedTarget{}
		return false, ""
	}
	if upgrade := pass.Object.Spec.Rollout.Upgrade; last.upgrade != upgrade {
		*last = refusedTarget{upgrade, pass.Now}
	}
	return refused.Kind == apply.RefusedInvalid || pass.Now.Sub(last.since) >= gate.FailAfter, refused.Error()
}

// interrupted sets the state of a stage when a step before it is not done. A preflight is inconclusive. A stage that brings the target
// fails if the API server refuses the target; else its message is what it waits for. A member that does not answer keeps its state: the
// upgrade sees by itself that it is unreachable.
func (s *stages) interrupted(pass *member.Pass, name string, result phase.Result) {
	st := pass.Object.Status.Rollout
	if st == nil || pass.Remote == nil {
		return
	}
	words := "the member is not well (" + name + "): " + result.Text()
	switch {
	case st.Stage == meshv1alpha1.StagePreflight:
		s.memory.Of(pass).lastPreflight.order = ""
		st.State, st.Message, st.Gates = meshv1alpha1.StageInconclusive, words, nil
	case mesh.IsRollingBack(pass.Object) && st.State != meshv1alpha1.StageDone:
		st.Message = words
	case mesh.BringsTarget(st.Stage):
		isFailed, refusal := s.refusal(pass)
		if isFailed {
			st.State, st.Message = meshv1alpha1.StageFailed, refusal
		} else if st.State == meshv1alpha1.StageProgressing {
			st.Message = words
		}
	}
}
