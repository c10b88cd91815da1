package traffic

import (
	"context"
	"fmt"

	"github.com/meshfleet/meshfleet/test/harness"
)

const (
	splitRequests = 400
	// Of 400 requests at 10 % one expects 40 with a standard deviation of 6. Four of those each way fail a correct
	// split once in some 15,000 runs.
	splitLeast = 40 - 24
	splitMost  = 40 + 24
)

// Split shows a 90/10 VirtualService whose two subsets live in different clusters: the weights hold wherever the
// caller is, so that for one of the callers nine of ten requests cross the gateways.
func Split(ctx context.Context, env *harness.Env) error {
	major, minor := env.Members()[0], env.Members()[1]
	objects, err := harness.Render(manifest("split"), map[string]string{
		"Major": env.VersionOf(major), "Minor": env.VersionOf(minor),
	})
	if err != nil {
		return err
	}
	body := func() error {
		for _, from := range []string{major, minor} {
			if err := awaitShare(ctx, env, from, minor, 0.01, 0.25); err != nil {
				return err
			}
			t, err := count(ctx, env.Client(from), harness.Request{URL: harness.EchoURL("/")}, splitRequests)
			if err != nil {
				return err
			}
			env.Logf("  from %s %s", from, t)
			if t.ok() != splitRequests || t.served[major]+t.served[minor] != splitRequests ||
				t.served[minor] < splitLeast || t.served[minor] > splitMost {
				return fmt.Errorf("from %s: want %d to %d of %d requests served in %s and the others in %s, got %s",
					from, splitLeast, splitMost, splitRequests, minor, major, t)
			}
		}
		return nil
	}
	return withObjects(ctx, env, objects, body, func(ctx context.Context) error {
		for _, from := range []string{major, minor} {
			if err := awaitShare(ctx, env, from, minor, 0.26, 1); err != nil {
				return err
			}
		}
		return nil
	})
}

// awaitShare waits until, of a batch of requests that are all answered, the share that one cluster serves lies
// within bounds.
func awaitShare(ctx context.Context, env *harness.Env, from, server string, least, most float64) error {
	const batch = 100
	what := fmt.Sprintf("%.0f %% to %.0f %% of the requests from %s to be served in %s", least*100, most*100, from, server)
	return harness.Await(ctx, what, effectDeadline, func(ctx context.Context) (bool, string, error) {
		t, err := count(ctx, env.Client(from), harness.Request{URL: harness.EchoURL("/")}, batch)
		if err != nil {
			return false, "", err
		}
		share := float64(t.served[server]) / batch
		return t.ok() == batch && share >= least && share <= most, t.String(), nil
	})
}
