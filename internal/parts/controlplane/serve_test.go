package controlplane

import (
	"testing"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestJudgeServing lets rollback go on with one ready pod of the former istiod, because the target may have taken the room of the others.
func TestJudgeServing(t *testing.T) {
	whole := State{Rollout: member.Rollout{Exists: true, Complete: true, Replicas: 2, ReadyReplicas: 2, Created: testutil.Now}, Armed: true}
	half := State{Rollout: member.Rollout{Exists: true, Replicas: 2, ReadyReplicas: 1, Created: testutil.Now}, Armed: true}
	unarmed := State{Rollout: half.Rollout}
	const old, target = testutil.Revision, "1-30-0"
	for name, c := range map[string]struct {
		stage       meshv1alpha1.Stage
		gateway     string
		observed    map[string]State
		after       time.Duration
		want        phase.Kind
		wantMayGoOn bool
	}{
		"all pods serve": {meshv1alpha1.StageInstall, old, map[string]State{old: whole}, 0, phase.Done, false},
		"an upgrade waits for the second of two pods":  {meshv1alpha1.StageInstall, old, map[string]State{old: half}, 0, phase.Wait, false},
		"a target that nothing uses is not waited for": {meshv1alpha1.StageInstall, old, map[string]State{old: whole, target: unarmed}, 0, phase.Done, false},
		"rollback goes on with one of two pods":        {meshv1alpha1.StageRollback, old, map[string]State{old: half}, 0, phase.Wait, true},
		"also when it takes long":                      {meshv1alpha1.StageRollback, old, map[string]State{old: half}, istiodDeadline, phase.Retry, true},
		"rollback needs webhooks that are trusted":     {meshv1alpha1.StageRollback, old, map[string]State{old: unarmed}, 0, phase.Wait, false},
		"rollback needs a pod of every one in use":     {meshv1alpha1.StageRollback, target, map[string]State{old: unarmed, target: whole}, 0, phase.Wait, false},
		"rollback needs what is not there at all":      {meshv1alpha1.StageRollback, old, nil, 0, phase.Wait, false},
		"discarding the target is rollback as well":    {meshv1alpha1.StageDiscard, old, map[string]State{old: half}, 0, phase.Wait, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := testutil.Member("east")
			m.Spec.Revisions = append(m.Spec.Revisions, meshv1alpha1.Revision{Name: target, Version: "1.30.0"})
			m.Spec.GatewayRevision = c.gateway
			m.Spec.Rollout = &meshv1alpha1.MemberRollout{Stage: c.stage}
			result, mayGoOn := judgeServing(m, c.observed, testutil.Now.Add(c.after))
			if result.Kind != c.want || mayGoOn != c.wantMayGoOn {
				t.Errorf("%v (%s), may go on %v, want %v and %v", result.Kind, result.Text(), mayGoOn, c.want, c.wantMayGoOn)
			}
		})
	}
}
