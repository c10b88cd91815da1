package gate

import (
	"context"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

const (
	// Patience bounds one gate.
	Patience = 10 * time.Second
	// LongPatience bounds a gate that asks about every object of users, or that asks peers more than once.
	LongPatience = 30 * time.Second
	// Looks is how often something is asked about that may be on its way.
	Looks = 4
)

// AskFunc answers the question of a gate. An error is the verdict Error.
type AskFunc func(ctx context.Context, s *Subject) (Answer, error)

// NewQuestion makes a gate of a function, which has that much time to answer.
func NewQuestion(name string, timeout time.Duration, ask AskFunc) Gate {
	return question{name: name, timeout: timeout, ask: ask}
}

type question struct {
	name    string
	timeout time.Duration
	ask     AskFunc
}

func (q question) Name() string { return q.name }

func (q question) Ask(ctx context.Context, s Subject) Answer {
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	s = s.at()
	a, err := q.ask(ctx, &s)
	if err != nil {
		a = Answer{Verdict: meshv1alpha1.VerdictError, Message: err.Error()}
	}
	a.Name, a.Message = q.name, OneLine(a.Message)
	return a
}

// LookAgain asks a few times, until the answer is settled.
func LookAgain(ctx context.Context, look func() (a Answer, isSettled bool, err error)) (Answer, error) {
	for n := 1; ; n++ {
		a, isSettled, err := look()
		if err != nil || isSettled || n == Looks {
			return a, err
		}
		if err := Pause(ctx, time.Second); err != nil {
			return Answer{}, err
		}
	}
}

// Pause waits for what may be on its way.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
