package gate

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// PacedAskFunc answers the question of a gate that is asked at its own pace. Last is its former result, nil at first.
type PacedAskFunc func(ctx context.Context, s *Subject, last *meshv1alpha1.GateResult) (Answer, error)

// NewPaced makes a gate that is asked at its own pace, and repeats its answer in between. Wait is how long an answer with
// such a verdict holds. The memory of the gate is its last result, which is kept in the member's status: an operator that
// restarts goes on where the former one was.
func NewPaced(name string, wait func(last meshv1alpha1.Verdict) time.Duration, ask PacedAskFunc) Gate {
	return paced{name: name, wait: wait, ask: ask}
}

type paced struct {
	name string
	wait func(last meshv1alpha1.Verdict) time.Duration
	ask  PacedAskFunc
}

func (p paced) Name() string { return p.name }

func (p paced) Ask(ctx context.Context, s Subject) Answer {
	s = s.at()
	last := s.last(p.name)
	if last != nil && last.AskedAt != nil && s.Now.Sub(last.AskedAt.Time) < p.wait(last.Verdict) {
		return Repeat(last)
	}
	ctx, cancel := context.WithTimeout(ctx, LongPatience)
	defer cancel()
	a, err := p.ask(ctx, &s, last)
	if err != nil {
		a = Answer{Verdict: meshv1alpha1.VerdictError, Message: err.Error()}
		if last != nil {
			// What was counted before still counts.
			a.Measurements = last.Measurements
		}
	}
	a.Name, a.Message = p.name, OneLine(a.Message)
	a.AskedAt = &metav1.Time{Time: s.Now.Truncate(time.Second)}
	return a
}
