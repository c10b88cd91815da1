package member

import (
	"context"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/gate/schedule"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/parts"
	"github.com/meshfleet/meshfleet/internal/parts/controlplane"
	"github.com/meshfleet/meshfleet/internal/phase"
)

const (
	// tagsSettle is how long after the order to move a tag, or the last write of one, a pod may still be given the former proxy:
	// the tag waits for permissions to be known, and API servers keep webhook configurations for a moment.
	tagsSettle = 7 * time.Second
	// gatePace is how often gates are asked, and how often workloads are looked at while they move, if that is cheap.
	gatePace = 2 * time.Second
	// restAfterLook is how long a stage rests, in units of the time that its last look took: in a cluster of many pods, a look reads all of
	// them, and may not become all that its API server does.
	restAfterLook = 2
)

// stages carry out what a work order says of an upgrade.
type stages struct {
	// parts are what a member consists of.
	parts *parts.Set
	// values checks the chart values of a target.
	values charts.Checker
	// peers report what their own clusters have.
	peers *peerReports

	memory member.Memory[stageMemory]
}

// stageMemory is what is remembered of a member's stage between passes.
type stageMemory struct {
	lastPreflight lastPreflight
	refused       refusedTarget
	// answers are those of the gates in this pass.
	answers []meshv1alpha1.GateResult
	// looks are what the gates have seen in this stage.
	looks   *gate.Looks
	looksIn stageKey
}

// stageKey names a stage of an upgrade.
type stageKey struct {
	upgrade string
	stage   meshv1alpha1.Stage
}

// looksOf is what the gates have seen in a stage. Another stage starts with what they keep, and another upgrade with nothing.
func (m *stageMemory) looksOf(order *meshv1alpha1.MemberRollout) *gate.Looks {
	key := stageKey{order.Upgrade, order.Stage}
	switch {
	case m.looks == nil || m.looksIn.upgrade != key.upgrade:
		m.looks = &gate.Looks{}
	case m.looksIn != key:
		m.looks = m.looks.NextStage()
	}
	m.looksIn = key
	return m.looks
}

// acknowledge starts a new stage's record, so that its deadline runs even if the member never gets to act on it.
func acknowledge(pass *member.Pass) {
	order := pass.Object.Spec.Rollout
	if order == nil {
		pass.Object.Status.Rollout = nil
		return
	}
	if st := pass.Object.Status.Rollout; st != nil && st.Upgrade == order.Upgrade && st.Stage == order.Stage {
		return
	}
	st := &meshv1alpha1.MemberRolloutStatus{
		Upgrade: order.Upgrade, Stage: order.Stage, State: meshv1alpha1.StageProgressing, Since: metav1.NewTime(pass.Now.Truncate(time.Second)),
	}
	if before := pass.Object.Status.Rollout; before != nil && before.Upgrade == order.Upgrade {
		st.Workloads, st.Changes, st.Forecast, st.TagsMovedAt = before.Workloads, before.Changes, before.Forecast, before.TagsMovedAt
		if before.Stage == meshv1alpha1.StageWorkloads && st.Stage == meshv1alpha1.StageSoak {
			// What was measured since the workloads were moved still counts.
			st.Gates = slices.DeleteFunc(before.Gates, func(g meshv1alpha1.GateResult) bool { return g.Measurements == nil })
		}
	}
	if st.Stage == meshv1alpha1.StageWorkloads {
		st.TagsMovedAt = st.Since.DeepCopy()
	}
	pass.Object.Status.Rollout = st
}

// run carries out the ordered stage of an upgrade, after everything that the work order says has been applied, and
// reports how it stands.
func (s *stages) run(ctx context.Context, pass *member.Pass) phase.Result {
	st := pass.Object.Status.Rollout
	if st == nil {
		return phase.Complete(meshv1alpha1.ReasonReady, "")
	}
	s.memory.Of(pass).answers = nil
	start := time.Now()
	state, message, err := s.stage(ctx, pass)
	if err != nil {
		return outcome.Failed(err)
	}
	if state == meshv1alpha1.StageDone && st.State != meshv1alpha1.StageDone {
		st.DoneAt = &metav1.Time{Time: pass.Now.Truncate(time.Second)}
	}
	if st.State == meshv1alpha1.StageInconclusive && state == meshv1alpha1.StageProgressing {
		// What it waited for was a person's: the deadline starts again.
		st.Since = metav1.NewTime(pass.Now.Truncate(time.Second))
	}
	if state != st.State || message != st.Message {
		log.FromContext(ctx).V(1).Info("Judged the stage of an upgrade", "upgrade", st.Upgrade, "stage", st.Stage, "state", state, "reason", message)
	}
	st.State, st.Message = state, message
	st.Progress = furthest(st, pass.Result("gateway").Step, pass.Now)
	result := phase.Complete(meshv1alpha1.ReasonReady, "")
	switch result.After = paceAfter(time.Since(start)); st.Stage {
	case meshv1alpha1.StagePreflight:
		result.After = preflightPaceOf(st.State)
	case meshv1alpha1.StageRetire, meshv1alpha1.StageDiscard:
		// What stays is asked for at its own pace, see retirePace.
		result.After = 0
	}
	return result
}

// paceAfter is when to look again after a look that took so long.
func paceAfter(took time.Duration) time.Duration { return max(gatePace, restAfterLook*took) }

// furthest is how far a stage has come, with the time if that is further than before.
func furthest(st *meshv1alpha1.MemberRolloutStatus, gatewayStep int32, now time.Time) meshv1alpha1.StageProgress {
	p := st.Progress
	switch st.Stage {
	case meshv1alpha1.StageWorkloads:
		p.Workloads, p.Pods = max(p.Workloads, st.Workloads.Moved), max(p.Pods, st.Workloads.MovedPods)
	case meshv1alpha1.StageGateways:
		p.GatewayStep = max(p.GatewayStep, gatewayStep)
	}
	if p != st.Progress {
		p.At = &metav1.Time{Time: now.Truncate(time.Second)}
	}
	return p
}

func (s *stages) stage(ctx context.Context, pass *member.Pass) (meshv1alpha1.StageState, string, error) {
	order := pass.Object.Spec.Rollout
	if isFailed, words := s.refusal(pass); isFailed {
		return meshv1alpha1.StageFailed, words, nil
	} else if words != "" {
		return meshv1alpha1.StageProgressing, words, nil
	}
	switch order.Stage {
	case meshv1alpha1.StagePreflight:
		return s.preflight(ctx, pass)
	case meshv1alpha1.StageInstall:
		return s.askGates(ctx, pass, schedule.BeforeTraffic(pass.Object.Spec.Rollout.Gates))
	case meshv1alpha1.StageGateways:
		return s.moveGateway(ctx, pass)
	case meshv1alpha1.StageWorkloads:
		return s.workloads(ctx, pass)
	case meshv1alpha1.StageSoak:
		return s.askGates(ctx, pass, schedule.WithTraffic(pass.Object.Spec.Rollout.Gates))
	case meshv1alpha1.StageRollback:
		return s.rollBack(ctx, pass)
	case meshv1alpha1.StageRetire:
		state, message := s.parts.ControlPlane.Retired(pass, order.From.Name)
		return state, message, nil
	case meshv1alpha1.StageDiscard:
		state, message := s.parts.ControlPlane.Retired(pass, order.To.Name)
		return state, message, nil
	}
	return "", "", fmt.Errorf("stage %q is not known", order.Stage)
}

// rollBack moves the workloads while the gateway is replaced: a gateway of either revision serves workloads of either, and one that
// finds no address must not keep workloads on a revision that has failed.
func (s *stages) rollBack(ctx context.Context, pass *member.Pass) (meshv1alpha1.StageState, string, error) {
	state, message, err := s.moveWorkloads(ctx, pass, "")
	if err != nil {
		return state, message, err
	}
	state, message = besideGateway(state, message, pass.Result("gateway"))
	return state, message, nil
}

// besideGateway adds to how far the workloads are what the gateway waits for. Rollback is done when both are.
func besideGateway(state meshv1alpha1.StageState, message string, gateway phase.Result) (meshv1alpha1.StageState, string) {
	if gateway.Kind == phase.Done {
		return state, message
	}
	if state == meshv1alpha1.StageDone {
		state = meshv1alpha1.StageProgressing
	}
	return state, message + "; " + gateway.Text()
}

// moveGateway waits until the gateway of the new revision has taken over. It has the first proxies of that revision, so
// that the gates are asked of them all the while. Proxies that are starting puzzle nobody: that they take too long is for
// the deadline to say.
func (s *stages) moveGateway(ctx context.Context, pass *member.Pass) (meshv1alpha1.StageState, string, error) {
	answers, err := s.evaluate(ctx, pass, schedule.DuringGatewayMove(pass.Object.Spec.Rollout.Gates))
	if err != nil {
		return "", "", err
	}
	pass.Object.Status.Rollout.Gates = answers
	state, said := gate.StageState(answers, pass.Now)
	state, message := gatewayState(pass.Result("gateway"), state, said)
	return state, message, nil
}

// gatewayState sums up how far the gateway is and what the gates say of it.
func gatewayState(gateway phase.Result, gates meshv1alpha1.StageState, said string) (state meshv1alpha1.StageState, message string) {
	switch {
	case gates == meshv1alpha1.StageFailed:
		return gates, said
	case gateway.Kind != phase.Done && gates == meshv1alpha1.StageDone:
		return meshv1alpha1.StageProgressing, gateway.Text()
	case gateway.Kind != phase.Done:
		return meshv1alpha1.StageProgressing, gateway.Text() + "; " + said
	}
	return gates, gateway.Text() + "; " + said
}

// askGates asks whether the new revision is good. One no is enough, if it lasts.
func (s *stages) askGates(ctx context.Context, pass *member.Pass, gates []gate.Gate) (meshv1alpha1.StageState, string, error) {
	st := pass.Object.Status.Rollout
	answers, err := s.evaluate(ctx, pass, gates)
	if err != nil {
		return "", "", err
	}
	st.Gates = answers
	state, message := gate.StageState(st.Gates, pass.Now)
	return state, message, nil
}

// askBetween asks the gates that can tell while some workloads are moved and some are not.
func (s *stages) askBetween(ctx context.Context, pass *member.Pass) (meshv1alpha1.StageState, string, error) {
	st := pass.Object.Status.Rollout
	bothServe := st.Workloads.Moved > 0 && st.Workloads.Moved < st.Workloads.Total
	answers, err := s.evaluate(ctx, pass, schedule.BetweenBatches(pass.Object.Spec.Rollout.Gates, bothServe))
	if err != nil {
		return "", "", err
	}
	st.Gates = gate.Remember(answers, st.Gates)
	state, message := gate.StageState(answers, pass.Now)
	return state, message, nil
}

// evaluate asks gates, each once in a pass.
func (s *stages) evaluate(ctx context.Context, pass *member.Pass, gates []gate.Gate) ([]meshv1alpha1.GateResult, error) {
	m, err := s.gateMember(ctx, pass)
	if err != nil {
		return nil, err
	}
	answers := gate.EvaluateOnce(ctx, gates, m, s.memory.Of(pass).answers, pass.Object.Status.Rollout.Gates, pass.Now)
	s.memory.Of(pass).answers = answers
	return answers, nil
}

func (s *stages) gateMember(ctx context.Context, pass *member.Pass) (gate.Subject, error) {
	spec, order := &pass.Object.Spec, pass.Object.Spec.Rollout
	siblings, err := pass.Siblings(ctx)
	if err != nil {
		return gate.Subject{}, err
	}
	m := gate.Subject{
		IgnoreDown: slices.Contains(order.IgnoreChecks, meshv1alpha1.CheckPeers),
		IsBack:     !isReachedFor(pass.Object, returning, pass.Now),
		Config:     pass.Config(), Client: pass.Remote, Namespace: pass.Namespace(), Installation: pass.Owner(), Cluster: spec.Cluster,
		From: order.From.Name, To: order.To.Name, Tags: []string{controlplane.DefaultTag},
		Mesh:    types.NamespacedName{Namespace: pass.Object.Namespace, Name: spec.Installation},
		Upgrade: order.Upgrade, Stage: order.Stage, Hub: pass.Hub, MovedAt: order.OrderedAt.Time,
		Looks: s.memory.Of(pass).looksOf(order),
	}
	if moved := pass.Object.Status.Rollout.TagsMovedAt; moved != nil {
		m.MovedAt = moved.Time
	}
	for _, p := range spec.Peers {
		m.Peers = append(m.Peers, p.Name)
	}
	for _, t := range mesh.Tags(pass.Object) {
		m.Tags = append(m.Tags, t.Name)
	}
	for _, rev := range spec.Revisions {
		switch rev.Name {
		case order.From.Name:
			m.FromVersion = rev.Version
		case order.To.Name:
			m.ToVersion = rev.Version
		}
	}
	s.peers.add(&m, siblings, pass.Now)
	return m, nil
}
