package gate

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

func TestStageState(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	answer := func(name string, verdict meshv1alpha1.Verdict, lasted time.Duration) meshv1alpha1.GateResult {
		return meshv1alpha1.GateResult{Name: name, Verdict: verdict, Message: "because", Since: metav1.NewTime(at.Add(-lasted))}
	}
	asDryRun := func(r meshv1alpha1.GateResult) meshv1alpha1.GateResult {
		r.DryRun = true
		return r
	}
	good := answer("Good", meshv1alpha1.VerdictPass, time.Hour)
	for name, test := range map[string]struct {
		answers []meshv1alpha1.GateResult
		want    meshv1alpha1.StageState
		says    string
	}{
		"all passed": {
			[]meshv1alpha1.GateResult{good}, meshv1alpha1.StageDone, "1 gates passed",
		},
		"a failure that has just come may be of a change that is on its way": {
			[]meshv1alpha1.GateResult{answer("Bad", meshv1alpha1.VerdictFail, FailAfter-time.Second), good},
			meshv1alpha1.StageProgressing, "gate Bad: Fail: because",
		},
		"a failure that lasts counts": {
			[]meshv1alpha1.GateResult{answer("Bad", meshv1alpha1.VerdictFail, FailAfter), good},
			meshv1alpha1.StageFailed, "gate Bad: Fail: because",
		},
		"a missing verdict is asked for again": {
			[]meshv1alpha1.GateResult{answer("Bad", meshv1alpha1.VerdictInconclusive, InconclusiveAfter-time.Second), good},
			meshv1alpha1.StageProgressing, "gate Bad: Inconclusive: because",
		},
		"a verdict that is missing for long is for a person": {
			[]meshv1alpha1.GateResult{answer("Bad", meshv1alpha1.VerdictError, InconclusiveAfter), good},
			meshv1alpha1.StageInconclusive, "gate Bad: Error: because",
		},
		"a failure counts more than a question that cannot be asked": {
			[]meshv1alpha1.GateResult{answer("A", meshv1alpha1.VerdictError, time.Hour), answer("B", meshv1alpha1.VerdictFail, time.Hour)},
			meshv1alpha1.StageFailed, "gate B: Fail: because",
		},
		"no verdict counts while istiod starts, and its deadline runs": {
			[]meshv1alpha1.GateResult{answer("A", meshv1alpha1.VerdictError, time.Hour), answer(ControlPlaneReady, meshv1alpha1.VerdictInconclusive, time.Hour)},
			meshv1alpha1.StageProgressing, "gate A: Error: because; gate ControlPlaneReady: Inconclusive: because",
		},
		"a missing verdict from before istiod was ready does not count": {
			[]meshv1alpha1.GateResult{
				answer("A", meshv1alpha1.VerdictInconclusive, time.Hour), answer(ControlPlaneReady, meshv1alpha1.VerdictPass, InconclusiveAfter-time.Second),
			}, meshv1alpha1.StageProgressing, "gate A: Inconclusive: because",
		},
		"a verdict that is missing for long since then does": {
			[]meshv1alpha1.GateResult{
				answer("A", meshv1alpha1.VerdictInconclusive, time.Hour), answer(ControlPlaneReady, meshv1alpha1.VerdictPass, InconclusiveAfter),
			}, meshv1alpha1.StageInconclusive, "gate A: Inconclusive: because",
		},
		"what takes time is awaited however long": {
			[]meshv1alpha1.GateResult{answer("Slow", meshv1alpha1.VerdictPending, time.Hour), good},
			meshv1alpha1.StageProgressing, "gate Slow: Pending: because",
		},
		"nothing follows from a dry run": {
			[]meshv1alpha1.GateResult{
				asDryRun(answer("A", meshv1alpha1.VerdictFail, time.Hour)), asDryRun(answer("B", meshv1alpha1.VerdictError, time.Hour)), good,
			}, meshv1alpha1.StageDone, "1 gates passed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			state, message := StageState(test.answers, at)
			if state != test.want || message != test.says {
				t.Errorf("StageState = %s %q, want %s %q", state, message, test.want, test.says)
			}
		})
	}
}

func TestPreflightState(t *testing.T) {
	at := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	answer := func(v meshv1alpha1.Verdict, ago time.Duration) meshv1alpha1.GateResult {
		return meshv1alpha1.GateResult{Name: "Room", Verdict: v, Message: "said", Since: metav1.NewTime(at.Add(-ago))}
	}
	pass := answer(meshv1alpha1.VerdictPass, 0)
	cases := map[string]struct {
		gates []meshv1alpha1.GateResult
		want  meshv1alpha1.StageState
	}{
		"everything passes":                       {[]meshv1alpha1.GateResult{pass, pass}, meshv1alpha1.StageDone},
		"a problem is reported at once":           {[]meshv1alpha1.GateResult{pass, answer(meshv1alpha1.VerdictInconclusive, 0)}, meshv1alpha1.StageInconclusive},
		"an error is given a moment":              {[]meshv1alpha1.GateResult{answer(meshv1alpha1.VerdictError, time.Second), pass}, meshv1alpha1.StageProgressing},
		"an error that lasts is reported":         {[]meshv1alpha1.GateResult{answer(meshv1alpha1.VerdictError, InconclusiveAfter)}, meshv1alpha1.StageInconclusive},
		"an error does not hide a problem":        {[]meshv1alpha1.GateResult{answer(meshv1alpha1.VerdictInconclusive, 0), answer(meshv1alpha1.VerdictError, 0)}, meshv1alpha1.StageInconclusive},
		"a problem that is ignored holds nothing": {[]meshv1alpha1.GateResult{{Verdict: meshv1alpha1.VerdictInconclusive, DryRun: true}}, meshv1alpha1.StageDone},
		"what is invalid has failed, whatever else is in the way": {
			[]meshv1alpha1.GateResult{answer(meshv1alpha1.VerdictFail, 0), answer(meshv1alpha1.VerdictInconclusive, 0), pass}, meshv1alpha1.StageFailed},
		"a problem is not hidden by a success": {[]meshv1alpha1.GateResult{answer(meshv1alpha1.VerdictInconclusive, 0), pass}, meshv1alpha1.StageInconclusive},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got, message := PreflightState(c.gates, at); got != c.want || (message == "") != (c.want == meshv1alpha1.StageDone) {
				t.Errorf("got %s (%s), want %s", got, message, c.want)
			}
		})
	}
}

// TestEveryOpenGateIsNamed wants each gate and each check that has not passed in the message, however long the first one's is.
func TestEveryOpenGateIsNamed(t *testing.T) {
	var answers []meshv1alpha1.GateResult
	names := []string{"ConfigDiff", "EndpointsComplete", "PeersSynced", "WebhookReady", "my.checkout-errors"}
	for _, name := range names {
		answers = append(answers, meshv1alpha1.GateResult{Name: name, Verdict: meshv1alpha1.VerdictInconclusive, Message: strings.Repeat("x", messageSize)})
	}
	_, ofStage := StageState(answers, time.Now())
	_, ofPreflight := PreflightState(answers, time.Now())
	for _, name := range names {
		if !strings.Contains(ofStage, "gate "+name+": Inconclusive: x") {
			t.Errorf("gate %s is missing in %q", name, ofStage)
		}
		if !strings.Contains(ofPreflight, name+": x") {
			t.Errorf("check %s is missing in %q", name, ofPreflight)
		}
	}
	if len(ofStage) > stageSize || len(ofPreflight) > stageSize {
		t.Errorf("%d and %d bytes, want %d at most", len(ofStage), len(ofPreflight), stageSize)
	}
}
