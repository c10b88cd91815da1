package gate

import (
	"fmt"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

const (
	// FailAfter is how long a gate must fail before the member has failed: right after a change, proxies are still
	// receiving it.
	FailAfter = 15 * time.Second
	// InconclusiveAfter is how long a gate may be without a verdict before a person is asked.
	InconclusiveAfter = time.Minute
	// stageSize bounds the message of a stage, in bytes, so that a condition can have all of it.
	stageSize = 1000
)

// StageState is the state of a stage that follows from the answers of its gates, and why. Dry runs do not count. A failure
// counts once it has lasted for FailAfter. Missing verdicts make the stage Inconclusive after InconclusiveAfter, counted
// from when the control plane became ready: while it starts, only the deadline of the stage applies.
func StageState(answers []meshv1alpha1.GateResult, now time.Time) (state meshv1alpha1.StageState, message string) {
	state = meshv1alpha1.StageDone
	isStarting, ready := controlPlane(answers)
	asked, open := counted(answers)
	messages := make([]string, 0, len(open))
	for _, g := range open {
		messages = append(messages, fmt.Sprintf("gate %s: %s: %s", g.Name, g.Verdict, g.Message))
		lasted := now.Sub(g.Since.Time)
		isLasting := !isStarting && min(lasted, now.Sub(ready)) >= InconclusiveAfter
		switch {
		case g.Verdict == meshv1alpha1.VerdictFail && lasted >= FailAfter:
			return meshv1alpha1.StageFailed, messages[len(messages)-1]
		case isLasting && g.Verdict != meshv1alpha1.VerdictFail && g.Verdict != meshv1alpha1.VerdictPending:
			state = meshv1alpha1.StageInconclusive
		default:
			state = worse(state, meshv1alpha1.StageProgressing)
		}
	}
	if len(open) == 0 {
		return state, fmt.Sprintf("%d gates passed", asked)
	}
	return state, mesh.Fit(messages, stageSize, "; ")
}

// PreflightState is the state of a preflight that follows from the results of its checks. The message names what is in the
// way, and is empty if nothing is. A failure, which only another target cures, counts at once, and so does what a person can
// cure. A check that could not be asked, mostly because of the network, counts after InconclusiveAfter.
func PreflightState(results []meshv1alpha1.GateResult, now time.Time) (state meshv1alpha1.StageState, message string) {
	state = meshv1alpha1.StageDone
	_, open := counted(results)
	messages := make([]string, 0, len(open))
	for _, g := range open {
		messages = append(messages, g.Name+": "+g.Message)
		switch {
		case g.Verdict == meshv1alpha1.VerdictFail:
			state = meshv1alpha1.StageFailed
		case g.Verdict == meshv1alpha1.VerdictInconclusive, now.Sub(g.Since.Time) >= InconclusiveAfter:
			state = worse(state, meshv1alpha1.StageInconclusive)
		default:
			state = worse(state, meshv1alpha1.StageProgressing)
		}
	}
	return state, mesh.Fit(messages, stageSize, "; ")
}

// counted are how many answers count, because they are no dry runs, and those of them that have not passed.
func counted(answers []meshv1alpha1.GateResult) (asked int, open []meshv1alpha1.GateResult) {
	for i := range answers {
		if answers[i].DryRun {
			continue
		}
		asked++
		if answers[i].Verdict != meshv1alpha1.VerdictPass {
			open = append(open, answers[i])
		}
	}
	return asked, open
}

// gravity orders the states of a stage that gates can lead to.
var gravity = map[meshv1alpha1.StageState]int{
	meshv1alpha1.StageDone: 0, meshv1alpha1.StageProgressing: 1, meshv1alpha1.StageInconclusive: 2, meshv1alpha1.StageFailed: 3,
}

func worse(a, b meshv1alpha1.StageState) meshv1alpha1.StageState {
	if gravity[b] > gravity[a] {
		return b
	}
	return a
}

// controlPlane reports whether the control plane is still starting, and else since when it is ready, if that was asked.
func controlPlane(answers []meshv1alpha1.GateResult) (isStarting bool, ready time.Time) {
	for _, g := range answers {
		if g.Name == ControlPlaneReady && !g.DryRun {
			isStarting = g.Verdict == meshv1alpha1.VerdictInconclusive
			if g.Verdict == meshv1alpha1.VerdictPass {
				ready = g.Since.Time
			}
		}
	}
	return isStarting, ready
}
