package gate

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// atOnce bounds how many gates are asked at the same time.
const atOnce = 4

// ControlPlaneReady is the name of the gate that checks whether istiod serves at all. Without that no other gate has a verdict.
const ControlPlaneReady = "ControlPlaneReady"

// Gate is one check of a revision.
type Gate interface {
	Name() string
	// Ask always ends, with an Error verdict when it cannot be answered in time.
	Ask(ctx context.Context, s Subject) Answer
}

// EvaluateOnce is Evaluate without asking gates again that have answered already in the same pass.
func EvaluateOnce(
	ctx context.Context, gates []Gate, s Subject, answered, previous []meshv1alpha1.GateResult, now time.Time,
) []meshv1alpha1.GateResult {
	var open []Gate
	var results []meshv1alpha1.GateResult
	for _, g := range gates {
		i := slices.IndexFunc(answered, func(r meshv1alpha1.GateResult) bool { return r.Name == g.Name() })
		if i < 0 {
			open = append(open, g)
		} else {
			results = append(results, answered[i])
		}
	}
	results = append(results, Evaluate(ctx, open, s, previous, now)...)
	slices.SortFunc(results, byName)
	return results
}

// Evaluate asks gates, a few at a time. A verdict that has not changed keeps its time.
func Evaluate(ctx context.Context, gates []Gate, s Subject, previous []meshv1alpha1.GateResult, now time.Time) []meshv1alpha1.GateResult {
	s.Now, s.previous = now, previous
	answers := make([]Answer, len(gates))
	var wg sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i, g := range gates {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			answers[i] = g.Ask(ctx, s)
		})
	}
	wg.Wait()
	results := make([]meshv1alpha1.GateResult, 0, len(answers))
	for _, a := range answers {
		r := meshv1alpha1.GateResult{
			Name: a.Name, Verdict: a.Verdict, Message: a.Message, Value: a.Value, Threshold: a.Threshold, DryRun: a.DryRun,
			AskedAt: a.AskedAt, Measurements: a.Measurements, Since: metav1.NewTime(now.Truncate(time.Second)),
		}
		if s.IsBack && r.Verdict == meshv1alpha1.VerdictFail {
			r.Verdict, r.Message = meshv1alpha1.VerdictInconclusive, mesh.Shorten("the member was cut off until a moment ago; "+r.Message, messageSize)
		}
		for _, p := range previous {
			if p.Name == r.Name && p.Verdict == r.Verdict {
				r.Since = p.Since
			}
		}
		results = append(results, r)
	}
	slices.SortFunc(results, byName)
	return results
}

func byName(a, b meshv1alpha1.GateResult) int { return strings.Compare(a.Name, b.Name) }
