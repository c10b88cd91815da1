package controlplane

import (
	"context"
	"strings"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
)

// istiodDeadline bounds the wait for an istiod that was applied.
const istiodDeadline = 10 * time.Minute

// serve waits until every istiod in use is rolled out and armed, then points the tags at them. One that is only being
// tried does not hold up the member. Precondition: install.
func (s *Steps) serve(ctx context.Context, pass *member.Pass) phase.Result {
	spec := &pass.Object.Spec
	observed := map[string]State{}
	var revisions []meshv1alpha1.RevisionStatus
	for _, rev := range spec.Revisions {
		st, err := Observe(ctx, pass.Remote, pass.Namespace(), rev.Name, pass.Owner())
		if err != nil {
			return outcome.Failed(err)
		}
		observed[rev.Name] = st
		revisions = append(revisions, meshv1alpha1.RevisionStatus{Name: rev.Name, Version: rev.Version, Hash: mesh.RevisionHash(rev), ReadyReplicas: st.ReadyReplicas})
	}
	pass.Object.Status.Revisions = revisions
	result, mayGoOn := judgeServing(pass.Object, observed, pass.Now)
	if result.Kind != phase.Done && !mayGoOn {
		return result
	}
	moved := s.pointTags(ctx, pass)
	if moved.Kind != phase.Done || result.Kind == phase.Done {
		mayGoOn = mayGoOn && moved.Kind == phase.Done
		result = moved
	}
	result.Passable = mayGoOn
	if result.Kind == phase.Done && result.Message == "" {
		note, after := retiringNote(pass.Object, pass.Now)
		result.Message, result.After = "istiod serves: "+strings.Join(mesh.UsedRevisions(spec), ", ")+note+s.unknownNote(pass), after
	}
	return result
}

// judgeServing judges what was observed of each revision. Every istiod in use must be rolled out and armed. Rollback cannot wait for room
// that the target has taken: mayGoOn is true when one pod of each serves, so that tags may move before the others are ready.
func judgeServing(m *meshv1alpha1.MeshMember, observed map[string]State, now time.Time) (result phase.Result, mayGoOn bool) {
	result, mayGoOn = phase.Complete(meshv1alpha1.ReasonReady, ""), mesh.IsRollingBack(m)
	for _, name := range mesh.UsedRevisions(&m.Spec) {
		st := observed[name]
		mayGoOn = mayGoOn && st.Armed
		if !st.Complete || !st.Armed {
			result = phase.Waiting(meshv1alpha1.ReasonWaitingForIstiod, st.Message, outcome.ShortWait).
				Overdue(st.Created, now, istiodDeadline, meshv1alpha1.ReasonDeadlineExceeded)
		}
	}
	return result, mayGoOn
}
