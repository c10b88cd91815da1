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
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

func says(name string, a Answer, err error) Gate {
	return question{name, time.Second, func(context.Context, *Member) (Answer, error) { return a, err }}
}

func TestEvaluate(t *testing.T) {
	before := metav1.NewTime(now.Add(-time.Hour))
	previous := []meshv1alpha1.GateResult{
		{Name: "Same", Verdict: meshv1alpha1.VerdictPass, Message: "then", Since: before},
		{Name: "Other", Verdict: meshv1alpha1.VerdictPass, Since: before},
		{Name: "Gone", Verdict: meshv1alpha1.VerdictFail, Since: before},
	}
	got := Evaluate(t.Context(), []Gate{
		says("Same", pass("now"), nil), says("Other", fail("no"), nil), says("Broken", Answer{}, errors.New("cannot\n\task")),
	}, Member{}, previous, now.Add(time.Millisecond))
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
	gates := []Gate{says("Failing", fail("no"), nil), says("Passing", pass("yes"), nil)}
	for isBack, want := range map[bool]meshv1alpha1.Verdict{true: meshv1alpha1.VerdictInconclusive, false: meshv1alpha1.VerdictFail} {
		got := Evaluate(t.Context(), gates, Member{IsBack: isBack}, nil, now)
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
	got := EvaluateOnce(t.Context(), []Gate{says("Known", pass("again"), nil), says("Open", pass("now"), nil)}, Member{}, answered, nil, now)
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
	g := question{"Slow", 10 * time.Second, func(ctx context.Context, _ *Member) (Answer, error) {
		count(1)
		defer count(-1)
		select {
		case <-full:
		case <-ctx.Done():
		}
		return pass(""), ctx.Err()
	}}
	results := Evaluate(t.Context(), slices.Repeat([]Gate{g}, 5*atOnce), Member{}, nil, now)
	if got := Worst(results); got != meshv1alpha1.VerdictPass || most != atOnce {
		t.Errorf("verdict %s, %d gates at once; want %s, %d", got, most, meshv1alpha1.VerdictPass, atOnce)
	}
}

func TestAskEnds(t *testing.T) {
	g := question{"Hangs", time.Millisecond, func(ctx context.Context, _ *Member) (Answer, error) {
		<-ctx.Done()
		return pass("too late"), ctx.Err()
	}}
	if got := g.Ask(t.Context(), Member{}); got.Verdict != meshv1alpha1.VerdictError || got.Name != "Hangs" {
		t.Errorf("Ask: %+v, want an Error verdict", got)
	}
	long := says("Long", pass("%s", strings.Repeat("ä", messageSize)), nil).Ask(t.Context(), Member{})
	if len(long.Message) > messageSize+len("…") || !strings.HasSuffix(long.Message, "ä…") {
		t.Errorf("message of %d bytes ends with %q", len(long.Message), long.Message[len(long.Message)-5:])
	}
}

func TestWorst(t *testing.T) {
	order := []meshv1alpha1.Verdict{meshv1alpha1.VerdictPass, meshv1alpha1.VerdictInconclusive, meshv1alpha1.VerdictError, meshv1alpha1.VerdictFail}
	var results []meshv1alpha1.GateResult
	for _, verdict := range order {
		results = append([]meshv1alpha1.GateResult{{Verdict: verdict}}, append(results, meshv1alpha1.GateResult{Verdict: meshv1alpha1.VerdictPass})...)
		if got := Worst(results); got != verdict {
			t.Errorf("worst of %v: %s, want %s", results, got, verdict)
		}
	}
	if got := Worst(nil); got != meshv1alpha1.VerdictInconclusive {
		t.Errorf("worst of nothing: %s, want %s", got, meshv1alpha1.VerdictInconclusive)
	}
}

func TestNoGatePassesWithoutIstiod(t *testing.T) {
	for _, g := range append(Preflight(), Running()...) {
		m := *testMember()
		m.Client = fake.NewClientBuilder().Build()
		if got := g.Ask(t.Context(), m); got.Verdict != meshv1alpha1.VerdictInconclusive || got.Message == "" {
			t.Errorf("%s: %s %q, want %s", got.Name, got.Verdict, got.Message, meshv1alpha1.VerdictInconclusive)
		}
	}
}

func TestSome(t *testing.T) {
	if got, want := some([]string{"e", "d", "c", "b", "a"}), "a, b, c and 2 more"; got != want {
		t.Errorf("some: %q, want %q", got, want)
	}
}
