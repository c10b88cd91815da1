package traffic

import (
	"context"
	"fmt"
	"time"

	"github.com/meshfleet/meshfleet/test/harness"
)

// checkHeader selects the route that a check has added, so that other traffic of the same host is not touched.
const checkHeader = "x-check"

// OutlierDetection shows that callers leave a cluster whose workload answers with errors only: with a DestinationRule
// the first errors eject its gateway, and every further request is served at home.
func OutlierDetection(ctx context.Context, env *harness.Env) error {
	return everyPair(env, func(from, bad string) error {
		request := harness.Request{URL: harness.EchoURL("/?status=500&in=" + bad)}
		if err := awaitTally(ctx, env, from, request, "some to fail", isPartlyFailing); err != nil {
			return err
		}
		body := func() error {
			return awaitTally(ctx, env, from, request, bad+" to be ejected", func(t tally) bool {
				return t.ok() == t.total && t.served[bad] == 0
			})
		}
		return withObjects(ctx, env, manifest("outlier"), body, func(ctx context.Context) error {
			return awaitTally(ctx, env, from, harness.Request{URL: harness.EchoURL("/")}, bad+" to serve again",
				func(t tally) bool { return t.ok() == t.total && t.served[bad] > 0 })
		})
	})
}

// Retries shows that a VirtualService's retries hide a fault that passes: the workload fails every third request in
// any cluster, and callers see none of it.
func Retries(ctx context.Context, env *harness.Env) error {
	request := harness.Request{
		URL:     harness.EchoURL("/?status=500&ratio=0.3"),
		Headers: map[string]string{checkHeader: "retries"},
	}
	failing := func(ctx context.Context) error {
		for _, from := range env.Members() {
			if err := awaitTally(ctx, env, from, request, "some to fail", isPartlyFailing); err != nil {
				return err
			}
		}
		return nil
	}
	if err := failing(ctx); err != nil {
		return err
	}
	body := func() error {
		for _, from := range env.Members() {
			err := awaitTally(ctx, env, from, request, "all to succeed", func(t tally) bool { return t.ok() == t.total })
			if err != nil {
				return err
			}
		}
		return nil
	}
	return withObjects(ctx, env, manifest("retries"), body, failing)
}

// Timeout shows that a VirtualService's timeout cuts off an answer that takes too long, in and across clusters.
func Timeout(ctx context.Context, env *harness.Env) error {
	const delay, patience = 2 * time.Second, 1500 * time.Millisecond
	const batch = 8
	request := harness.Request{
		URL:     harness.EchoURL("/?delay=" + delay.String()),
		Headers: map[string]string{checkHeader: "timeout"},
		Count:   batch, Concurrency: batch,
	}
	await := func(ctx context.Context, want string, holds func(harness.Answer) bool) error {
		for _, from := range env.Members() {
			what := fmt.Sprintf("%s from %s", want, from)
			err := harness.Await(ctx, what, effectDeadline, func(ctx context.Context) (bool, string, error) {
				answers, err := env.Client(from).Send(ctx, request)
				if err != nil {
					return false, "", err
				}
				for _, a := range answers {
					if !holds(a) {
						return false, a.String(), nil
					}
				}
				env.Logf("  %s: %d of %d, the first with %s", what, batch, batch, answers[0])
				return true, "", nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	body := func() error {
		return await(ctx, "status 504 before the answer", func(a harness.Answer) bool {
			return a.Status == 504 && a.DurationMs < float64(patience.Milliseconds())
		})
	}
	return withObjects(ctx, env, manifest("timeout"), body, func(ctx context.Context) error {
		return await(ctx, "slow answers", func(a harness.Answer) bool {
			return a.OK() && a.DurationMs >= float64(delay.Milliseconds())
		})
	})
}

// InjectedAbort shows that a fault which a VirtualService injects meets exactly the requests that it names.
func InjectedAbort(ctx context.Context, env *harness.Env) error {
	chosen := harness.Request{URL: harness.EchoURL("/"), Headers: map[string]string{checkHeader: "abort"}}
	others := harness.Request{URL: harness.EchoURL("/")}
	allOK := func(t tally) bool { return t.ok() == t.total }
	body := func() error {
		for _, from := range env.Members() {
			err := awaitTally(ctx, env, from, chosen, "all to be aborted", func(t tally) bool {
				return t.statuses[418] == t.total
			})
			if err != nil {
				return err
			}
			if err := awaitTally(ctx, env, from, others, "all to succeed", allOK); err != nil {
				return err
			}
		}
		return nil
	}
	return withObjects(ctx, env, manifest("abort"), body, func(ctx context.Context) error {
		for _, from := range env.Members() {
			if err := awaitTally(ctx, env, from, chosen, "all to succeed again", allOK); err != nil {
				return err
			}
		}
		return nil
	})
}

// isPartlyFailing holds when a fault of the workload reaches the caller.
func isPartlyFailing(t tally) bool { return t.ok() > 0 && t.ok() < t.total }

// awaitTally sends batches of a request until the counts of one are as wanted.
func awaitTally(ctx context.Context, env *harness.Env, from string, request harness.Request, want string,
	holds func(tally) bool,
) error {
	const batch = 50
	what := fmt.Sprintf("requests from %s: %s", from, want)
	return harness.Await(ctx, what, effectDeadline, func(ctx context.Context) (bool, string, error) {
		t, err := count(ctx, env.Client(from), request, batch)
		if err != nil {
			return false, "", err
		}
		if holds(t) {
			env.Logf("  from %s, %s: %s", from, want, t)
			return true, "", nil
		}
		return false, t.String(), nil
	})
}
