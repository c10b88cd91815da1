package gate

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func says(name string, a Answer, err error) Gate {
	return question{name, time.Second, func(context.Context, *Subject) (Answer, error) { return a, err }}
}

func TestEvaluate(t *testing.T) {
	before := metav1.NewTime(now.Add(-time.Hour))
	previous := []meshv1alpha1.GateResult{
		{Name: "Same", Verdict: meshv1alpha1.VerdictPass, Message: "then", Since: before},
		{Name: "Other", Verdict: meshv1alpha1.VerdictPass, Since: before},
		{Name: "Gone", Verdict: meshv1alpha1.VerdictFail, Since: before},
	}
	got := Evaluate(t.Context(), []Gate{
		says("Same", Pass("now"), nil), says("Other", Fail("no"), nil), says("Broken", Answer{}, errors.New("cannot\n\task")),
	}, Subject{}, previous, now.Add(time.Millisecond))
	at := metav1.NewTime(now)
	want := []meshv1alpha1.GateResult{
		{Name: "Broken", Verdict: meshv1alpha1.VerdictError, Message: "cannot ask", Since: at},
		{Name: "Other", Verdict: meshv1alpha1.VerdictFail, Message: "no", Since: at},
		{Name: "Same", Verdict: meshv1alpha1.VerdictPass, Message: "now", Since: before},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Evaluate (-want +got):\n%s", diff)
	}
}

// TestNoGateFailsAMemberThatIsJustBack looks at a member that was cut off itself: its istiods read their peers again at intervals.
func TestNoGateFailsAMemberThatIsJustBack(t *testing.T) {
	gates := []Gate{says("Failing", Fail("no"), nil), says("Passing", Pass("yes"), nil)}
	for isBack, want := range map[bool]meshv1alpha1.Verdict{true: meshv1alpha1.VerdictInconclusive, false: meshv1alpha1.VerdictFail} {
		got := Evaluate(t.Context(), gates, Subject{IsBack: isBack}, nil, now)
		if got[0].Verdict != want || got[1].Verdict != meshv1alpha1.VerdictPass || !strings.HasSuffix(got[0].Message, "no") {
			t.Errorf("just back: %v: %+v, want %s", isBack, got, want)
		}
	}
}

func TestEvaluateOnceAsksOnlyWhatIsOpen(t *testing.T) {
	at := metav1.NewTime(now)
	answered := []meshv1alpha1.GateResult{
		{Name: "Known", Verdict: meshv1alpha1.VerdictFail, Message: "a moment ago", Since: at}, {Name: "Unasked", Verdict: meshv1alpha1.VerdictFail, Since: at},
	}
	got := EvaluateOnce(t.Context(), []Gate{says("Known", Pass("again"), nil), says("Open", Pass("now"), nil)}, Subject{}, answered, nil, now)
	want := []meshv1alpha1.GateResult{answered[0], {Name: "Open", Verdict: meshv1alpha1.VerdictPass, Message: "now", Since: at}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("EvaluateOnce (-want +got):\n%s", diff)
	}
}

func TestEvaluateAsksAFewAtOnce(t *testing.T) {
	var mu sync.Mutex
	running, most := 0, 0
	full := make(chan struct{})
	count := func(change int) {
		mu.Lock()
		defer mu.Unlock()
		if running += change; running == atOnce && most < atOnce {
			close(full)
		}
		most = max(most, running)
	}
	// The first ones wait for each other.
	g := question{"Slow", 10 * time.Second, func(ctx context.Context, _ *Subject) (Answer, error) {
		count(1)
		defer count(-1)
		select {
		case <-full:
		case <-ctx.Done():
		}
		return Pass(""), ctx.Err()
	}}
	results := Evaluate(t.Context(), slices.Repeat([]Gate{g}, 5*atOnce), Subject{}, nil, now)
	if most != atOnce || slices.ContainsFunc(results, func(r meshv1alpha1.GateResult) bool { return r.Verdict != meshv1alpha1.VerdictPass }) {
		t.Errorf("%d gates at once, want %d, and every verdict Pass: %+v", most, atOnce, results)
	}
}
