package traffic

import (
	"context"
	"fmt"
	"strings"

	"github.com/meshfleet/meshfleet/test/harness"
)

// Authorization shows that an AuthorizationPolicy knows callers of other clusters by their identity: a path is open
// to the clients and closed to the guests of every cluster, although both are members of the mesh.
func Authorization(ctx context.Context, env *harness.Env) error {
	mesh, err := env.Installation(ctx)
	if err != nil {
		return err
	}
	var principals []string
	for _, m := range env.Members() {
		principals = append(principals, strings.TrimPrefix(identity(mesh.Spec.TrustDomain, "load-"+m), "spiffe://"))
	}
	objects, err := harness.Render(manifest("authorization"), map[string]any{"Principals": principals})
	if err != nil {
		return err
	}
	body := func() error {
		return everyPair(env, func(from, to string) error {
			url := harness.EchoInURL(to, "/guarded")
			if err := awaitStatus(ctx, env.Guest(from), url, 403); err != nil {
				return err
			}
			if err := awaitStatus(ctx, env.Client(from), url, 200); err != nil {
				return err
			}
			env.Logf("  %s → %s  %s admitted, %s denied", from, to, "load-"+from, "guest-"+from)
			return awaitStatus(ctx, env.Guest(from), harness.EchoInURL(to, "/"), 200)
		})
	}
	return withObjects(ctx, env, objects, body, func(ctx context.Context) error {
		return everyPair(env, func(from, to string) error {
			return awaitStatus(ctx, env.Guest(from), harness.EchoInURL(to, "/guarded"), 200)
		})
	})
}

// awaitStatus waits until a client gets the status from a URL several times in a row.
func awaitStatus(ctx context.Context, from harness.Client, url string, status int) error {
	what := fmt.Sprintf("status %d for %s to %s", status, from, url)
	return harness.Await(ctx, what, effectDeadline, func(ctx context.Context) (bool, string, error) {
		answers, err := from.Send(ctx, harness.Request{URL: url, Count: 5})
		if err != nil {
			return false, "", err
		}
		for _, a := range answers {
			if a.Status != status {
				return false, a.String() + " " + a.Body, nil
			}
		}
		return true, "", nil
	})
}
