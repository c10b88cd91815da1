package member

import (
	"context"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/log"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/metrics"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/status"
)

// steps of a pass: the connection, those of the parts, and the stage of an upgrade, which comes after everything that the work order says
// has been applied.
func (r *Reconciler) steps() []member.Step {
	steps := []member.Step{{Name: "connect", Condition: meshv1alpha1.ConditionReachable, Round: beforeRounds, Run: r.connect, Gate: true}}
	steps = append(steps, r.parts.Steps()...)
	return append(steps, member.Step{Name: "rollout", Round: afterRounds, Run: r.stages.run})
}

// StepNames are the names of the steps of a pass, in the order in which they run.
func StepNames() []string {
	var names []string
	for _, s := range New(Options{}).steps() {
		names = append(names, s.Name)
	}
	return names
}

// The rounds of what is no part.
const (
	beforeRounds = member.Vet - 1
	afterRounds  = member.Connect + 1
)

// converge runs the steps of a member.
func (r *Reconciler) converge(ctx context.Context, pass *member.Pass) []status.Outcome {
	acknowledge(pass)
	pass.Target = r.parts.Target(&pass.Object.Spec)
	run := runSteps(ctx, pass, r.steps())
	logSteps(ctx, run)
	tellContested(pass)
	r.tellCNI(ctx, pass)
	r.tellProxies(ctx, pass)
	if run.blockedBy < 0 {
		return conclude(pass, run, phase.Result{})
	}
	blocked := run.results[run.blockedBy]
	r.stages.interrupted(pass, run.ran[run.blockedBy].Name, blocked)
	return conclude(pass, run, blocked)
}

// stepsRun is how the steps of a pass went.
type stepsRun struct {
	// ran are the steps that ran, with their results. left are the others.
	ran     []member.Step
	results []phase.Result
	left    []member.Step
	// blockedBy is the place in ran of the gate that ended the pass, or -1.
	blockedBy int
}

// runSteps runs steps, round by round. A gate that is not done ends the pass after its round, but for steps that renew what the member
// has; the other steps report and let the rest go on.
func runSteps(ctx context.Context, pass *member.Pass, steps []member.Step) stepsRun {
	run := stepsRun{blockedBy: -1}
	for _, st := range steps {
		isOver := run.blockedBy >= 0 && st.Round != run.ran[run.blockedBy].Round
		if isOver && (!st.Renews || !pass.Renews()) {
			run.left = append(run.left, st)
			continue
		}
		start := time.Now()
		result := st.Run(ctx, pass)
		run.ran, run.results = append(run.ran, st), append(run.results, result)
		pass.Record(st.Name, result)
		metrics.ObservePhase("meshmember", st.Name, time.Since(start))
		if st.Gate && result.Kind != phase.Done && !result.Passable && run.blockedBy < 0 {
			run.blockedBy = len(run.ran) - 1
		}
	}
	return run
}

// logSteps logs how the steps of a pass ended, in one line.
func logSteps(ctx context.Context, run stepsRun) {
	logger := log.FromContext(ctx).V(1)
	if !logger.Enabled() {
		return
	}
	var line []string
	for i, result := range run.results {
		text := run.ran[i].Name + "=" + result.Kind.String()
		if result.Kind != phase.Done {
			text += " (" + result.Reason + ": " + result.Text() + ")"
		}
		line = append(line, text)
	}
	logger.Info("Ran the steps of the member", "steps", strings.Join(line, ", "))
}

// conclude turns the results of the phases that ran, of which there is at least one, into the outcome of each
// condition. The worst phase of a condition decides it, the last of those that are as bad; one that has not run leaves it
// waiting for the gate that ended the pass.
func conclude(pass *member.Pass, run stepsRun, blocked phase.Result) []status.Outcome {
	byCondition := map[string]int{}
	var out []status.Outcome
	for i, result := range run.results {
		// What cannot be reached is not known to be bad.
		o := status.Outcome{Type: run.ran[i].Condition, Result: result, Unknown: result.Reason == meshv1alpha1.ReasonConnectionDown}
		if j, seen := byCondition[o.Type]; seen && o.Type != "" {
			if o.Result.Kind >= out[j].Result.Kind {
				out[j] = o
			}
		} else {
			byCondition[o.Type] = len(out)
			out = append(out, o)
		}
	}
	for _, st := range run.left {
		if i, seen := byCondition[st.Condition]; seen && st.Condition != "" && out[i].Result.Kind == phase.Done {
			out[i].Result = phase.Waiting(blocked.Reason, blocked.Text(), 0)
		}
	}
	out = append(out, unreached(pass, run.left, byCondition, out[0], blocked)...)
	return append(append(out, available(pass, out[0])), pass.Aside...)
}

// unreached gives the conditions whose phases did not run: Unknown when the member does not answer, else waiting for
// what came before.
func unreached(pass *member.Pass, left []member.Step, ran map[string]int, connection status.Outcome, blocked phase.Result) []status.Outcome {
	var out []status.Outcome
	done := map[string]bool{"": true}
	for c := range ran {
		done[c] = true
	}
	down := connection.Result.Kind != phase.Done
	for _, st := range left {
		if done[st.Condition] {
			continue
		}
		done[st.Condition] = true
		o := status.Outcome{Type: st.Condition, Unknown: down, Result: phase.Waiting(blocked.Reason, blocked.Text(), 0)}
		if down && pass.Object.Status.ClusterUID != "" {
			// What was last seen may still be so; we cannot know.
			o.Result = phase.Waiting(meshv1alpha1.ReasonConnectionDown, "the member cannot be asked: "+blocked.Text(), 0)
		}
		out = append(out, o)
	}
	return out
}

func available(pass *member.Pass, connection status.Outcome) status.Outcome {
	o := status.Outcome{Type: meshv1alpha1.ConditionAvailable, Unknown: connection.Result.Kind != phase.Done}
	o.Result = phase.Waiting(meshv1alpha1.ReasonWaitingForIstiod, "no control plane serves yet", 0)
	if o.Unknown {
		o.Result = phase.Waiting(connection.Result.Reason, connection.Result.Text(), 0)
		return o
	}
	for _, rev := range pass.Object.Status.Revisions {
		if rev.ReadyReplicas > 0 {
			o.Result = phase.Complete(meshv1alpha1.ReasonReady, "revision "+rev.Name+" serves")
		}
	}
	return o
}
