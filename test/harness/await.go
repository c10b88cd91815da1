package harness

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// pollInterval is short because labs are local: a step should not take longer for having been looked at rarely.
const pollInterval = 250 * time.Millisecond

// Probe looks once. It returns whether what is awaited holds, and what it saw, in words.
type Probe func(ctx context.Context) (done bool, seen string, err error)

// fatalError ends a wait at once, because waiting longer cannot help.
type fatalError struct{ err error }

func (f *fatalError) Error() string { return f.err.Error() }
func (f *fatalError) Unwrap() error { return f.err }

// Fatal marks an error of a Probe as one that no further wait can cure.
func Fatal(err error) error { return &fatalError{err: err} }

// Await calls probe until it is done. An error of the probe counts as something seen, not as the end, because a
// cluster that is starting refuses calls; Fatal errors end the wait. When the deadline passes, the error says what
// was awaited, for how long, and what was seen last.
func Await(ctx context.Context, what string, deadline time.Duration, probe Probe) error {
	return AwaitProgress(ctx, what, deadline, func(ctx context.Context, _ func()) (bool, string, error) { return probe(ctx) })
}

// AwaitProgress is Await with a deadline of the time without progress: it begins again whenever probe calls progressed. How long all of it takes
// depends on the machine; whether it goes on does not. What a probe calls progress must be finite.
func AwaitProgress(ctx context.Context, what string, deadline time.Duration,
	probe func(ctx context.Context, progressed func()) (done bool, seen string, err error),
) error {
	start := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := time.AfterFunc(deadline, cancel)
	defer timer.Stop()
	progressed := func() { timer.Reset(deadline) }
	last := "nothing"
	for {
		done, seen, err := probe(ctx, progressed)
		var fatal *fatalError
		switch {
		case errors.As(err, &fatal):
			return fmt.Errorf("wait for %s: %w", what, fatal.err)
		case err != nil && ctx.Err() == nil:
			last = "error: " + err.Error()
		case err == nil && done:
			return nil
		case err == nil && seen != "":
			last = seen
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %s for %s; last seen: %s", time.Since(start).Round(time.Second), what, last)
		case <-time.After(pollInterval):
		}
	}
}
