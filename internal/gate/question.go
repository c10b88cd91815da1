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
	// EndpointPatience bounds a gate that reads all endpoints of a mesh, which may be a gigabyte. What hangs ends much earlier: each
	// answer has a deadline of its own, which grows with what has arrived.
	EndpointPatience = 4 * time.Minute
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
