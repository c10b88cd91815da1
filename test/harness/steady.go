package harness

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Steady is load in and across all members at once.
type Steady struct {
	env   *Env
	loads []*Rolling
	start time.Time
}

// StartSteady starts, in every given member, one load to each member's echo: its own, and those of its peers through
// the gateways. It goes on when clients are restarted.
func (e *Env) StartSteady(ctx context.Context, members []string, perSecond int) (*Steady, error) {
	s := &Steady{env: e, start: time.Now()}
	urls := make([]string, 0, len(members))
	for _, to := range members {
		urls = append(urls, EchoInURL(to, "/"))
	}
	for _, from := range members {
		l, err := e.Client(from).StartRolling(ctx, urls, perSecond)
		if err != nil {
			_, stopErr := s.Stop(context.WithoutCancel(ctx))
			return nil, errors.Join(err, stopErr)
		}
		s.loads = append(s.loads, l)
	}
	return s, nil
}

// Sum is what has come of all loads so far.
func (s *Steady) Sum(ctx context.Context) (LoadReport, error) {
	var sum LoadReport
	var errs []error
	for _, l := range s.loads {
		r, err := l.Sum(ctx)
		errs = append(errs, err)
		sum.add(r)
	}
	return sum, errors.Join(errs...)
}

// Stop ends all loads and prints and returns the sum.
func (s *Steady) Stop(ctx context.Context) (LoadReport, error) {
	var sum LoadReport
	var errs []error
	for _, l := range s.loads {
		reports, pods, err := l.Stop(ctx)
		errs = append(errs, err)
		for _, url := range l.urls {
			r, ok := reports[url]
			if !ok {
				continue
			}
			s.env.Logf("  %-28s %s, from %d pods", fmt.Sprintf("%s → %s", l.client, shortURL(url)), r, pods)
			for i := range r.Failures {
				r.Failures[i].Load = fmt.Sprintf("%s → %s", l.client, shortURL(url))
			}
			for _, f := range r.Failures[:min(len(r.Failures), 5)] {
				s.env.Logf("    failed at %s", f)
			}
			sum.add(r)
		}
	}
	s.env.Logf("  load of %.0f s: %d sent, %d failed", time.Since(s.start).Seconds(), sum.Sent, sum.Failed)
	return sum, errors.Join(errs...)
}
