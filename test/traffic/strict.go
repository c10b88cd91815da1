package traffic

import (
	"context"
	"fmt"
	"time"

	"github.com/meshfleet/meshfleet/test/harness"
)

// StrictMTLS shows that nobody gets in without a certificate of the mesh: a pod without a proxy is refused by every
// workload, although the same pod reaches a workload outside the mesh and the workload serves pods of the mesh.
func StrictMTLS(ctx context.Context, env *harness.Env) error {
	for _, member := range env.Members() {
		plain := env.Plain(member)
		// Without this a broken network would pass for a refusal.
		if err := awaitOK(ctx, plain, harness.PlainURL("/")); err != nil {
			return err
		}
		if err := awaitOK(ctx, env.Client(member), harness.EchoInURL(member, "/")); err != nil {
			return err
		}
		what := fmt.Sprintf("plaintext to be refused in %s", member)
		err := harness.Await(ctx, what, effectDeadline, func(ctx context.Context) (bool, string, error) {
			answers, err := plain.Send(ctx, harness.Request{
				URL: harness.EchoInURL(member, "/"), Timeout: 3 * time.Second, NewConnection: true,
			})
			if err != nil {
				return false, "", err
			}
			a := answers[0]
			if a.Status != 0 {
				return false, a.String() + " " + a.Body, nil
			}
			env.Logf("  %s: plaintext from a pod without a proxy was refused: %s", member, a.Error)
			return true, "", nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// awaitOK waits until a client gets status 200 from a URL.
func awaitOK(ctx context.Context, from harness.Client, url string) error {
	what := fmt.Sprintf("status 200 for %s to %s", from, url)
	return harness.Await(ctx, what, effectDeadline, func(ctx context.Context) (bool, string, error) {
		a, err := from.Get(ctx, url)
		if err != nil {
			return false, "", err
		}
		return a.OK(), a.String() + " " + a.Body, nil
	})
}
