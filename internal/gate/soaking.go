package gate

import (
	"context"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// Soaking is a gate that is asked at a slower pace while workloads soak: nothing moves then. One that does not pass, or has seen a
// difference that another look must confirm, is asked in each pass.
func Soaking(g Gate, pace time.Duration) Gate { return soaking{g, pace} }

type soaking struct {
	Gate

	pace time.Duration
}

// soakAsked is when a gate was last asked while workloads soak.
type soakAsked struct{ at time.Time }

// Ask repeats the last answer, or asks.
func (g soaking) Ask(ctx context.Context, s Subject) Answer {
	s = s.at()
	if s.Stage != meshv1alpha1.StageSoak || s.Looks == nil {
		return g.Gate.Ask(ctx, s)
	}
	key := g.Name() + " while workloads soak"
	asked, last := Kept[soakAsked](&s, key), s.last(g.Name())
	if asked != nil && last != nil && last.Verdict == meshv1alpha1.VerdictPass && s.Now.Sub(asked.at) < g.pace && !s.Looks.isNoted(g.Name()) {
		return Repeat(last)
	}
	Keep(&s, key, &soakAsked{s.Now})
	return g.Gate.Ask(ctx, s)
}
