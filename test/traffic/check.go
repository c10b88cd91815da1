package traffic

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meshfleet/meshfleet/test/harness"
)

// effectDeadline is how long a change of configuration may take to show in every member. It takes a second or two.
const effectDeadline = 60 * time.Second

// Check is one check.
type Check struct {
	// Name of the check, for reports and subtests.
	Name string
	// Run returns an error that says what should have happened and what did.
	Run func(ctx context.Context, env *harness.Env) error
}

// Checks are all checks, in the order in which they run.
func Checks() []Check {
	return []Check{
		{"requests in and across clusters", AcrossClusters},
		{"strict mutual TLS", StrictMTLS},
		{"90/10 split across clusters", Split},
		{"outlier detection ejects a bad cluster", OutlierDetection},
		{"retries hide a fault that passes", Retries},
		{"timeout cuts a slow answer off", Timeout},
		{"injected abort", InjectedAbort},
		{"authorization by identity across clusters", Authorization},
		{"egress to listed hosts only", Egress},
		{"steady load in and across clusters", SteadyLoad},
	}
}

// Result is the outcome of one run of one check.
type Result struct {
	Check string
	Took  time.Duration
	Err   error
}

// RunAll runs every check once and returns all outcomes. A check that fails does not stop the others.
func RunAll(ctx context.Context, env *harness.Env) []Result {
	checks := Checks()
	results := make([]Result, 0, len(checks))
	for _, c := range checks {
		start := time.Now()
		err := env.Step(c.Name, func() error { return c.Run(ctx, env) })
		results = append(results, Result{Check: c.Name, Took: time.Since(start), Err: err})
	}
	return results
}

// RunUntil runs all checks again and again until stop is closed, finishing the round it is in, and joins the failures
// of all rounds. It runs at least one round.
func RunUntil(ctx context.Context, env *harness.Env, stop <-chan struct{}) error {
	var errs []error
	for round := 1; ; round++ {
		for _, r := range RunAll(ctx, env) {
			if r.Err != nil {
				errs = append(errs, fmt.Errorf("round %d: %w", round, r.Err))
			}
		}
		select {
		case <-stop:
			return errors.Join(errs...)
		case <-ctx.Done():
			return errors.Join(append(errs, ctx.Err())...)
		default:
		}
	}
}

// withObjects applies a manifest in every member, runs the body, removes the objects and waits until restored says
// that their effect is gone. It cleans up also when the body fails or the context ends.
func withObjects(ctx context.Context, env *harness.Env, manifest string, body func() error,
	restored func(ctx context.Context) error,
) error {
	members := env.Members()
	err := func() error {
		for _, m := range members {
			if err := env.Cluster(m).Apply(ctx, manifest); err != nil {
				return err
			}
		}
		return body()
	}()
	cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Minute)
	defer cancel()
	for _, m := range members {
		err = errors.Join(err, env.Cluster(m).Delete(cleanup, manifest))
	}
	if restored != nil {
		err = errors.Join(err, restored(cleanup))
	}
	return err
}

// everyPair runs a function for each ordered pair of different members.
func everyPair(env *harness.Env, run func(from, to string) error) error {
	members := env.Members()
	for _, from := range members {
		for _, to := range members {
			if from == to {
				continue
			}
			if err := run(from, to); err != nil {
				return fmt.Errorf("from %s to %s: %w", from, to, err)
			}
		}
	}
	return nil
}
