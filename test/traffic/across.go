package traffic

import (
	"context"
	"fmt"

	"github.com/meshfleet/meshfleet/test/harness"
)

// AcrossClusters shows that the members are one mesh. From every member, the name that all serve is answered by each
// of them, the member itself included, and the answering proxy has seen the caller's own identity: the certificate
// that the caller's istiod has signed was verified on the other side.
func AcrossClusters(ctx context.Context, env *harness.Env) error {
	mesh, err := env.Installation(ctx)
	if err != nil {
		return err
	}
	for _, from := range env.Members() {
		want := identity(mesh.Spec.TrustDomain, "load-"+from)
		answers, err := answersOfAll(ctx, env, from)
		if err != nil {
			return err
		}
		for _, server := range env.Members() {
			got := answers[server]
			if got.Caller != want {
				return fmt.Errorf("request from %s served in %s: want caller %q, got %q", from, server, want, got.Caller)
			}
			env.Logf("  %s → %s  served by %s in %s, caller %s", from, server, got.Pod, got.Cluster, got.Caller)
		}
	}
	return nil
}

// answersOfAll sends requests from one member until every member has served one, and returns one answer of each.
func answersOfAll(ctx context.Context, env *harness.Env, from string) (map[string]harness.Echo, error) {
	answers := map[string]harness.Echo{}
	what := fmt.Sprintf("requests from %s to be served in each of %v", from, env.Members())
	err := harness.Await(ctx, what, effectDeadline, func(ctx context.Context) (bool, string, error) {
		batch, err := env.Client(from).Send(ctx, harness.Request{URL: harness.EchoURL("/"), Count: 10})
		if err != nil {
			return false, "", err
		}
		seen := "served in"
		for _, a := range batch {
			if !a.OK() {
				return false, a.String() + " " + a.Body, nil
			}
			echo, err := a.Echo()
			if err != nil {
				return false, "", err
			}
			answers[echo.Cluster] = echo
		}
		for cluster := range answers {
			seen += " " + cluster
		}
		return len(answers) == len(env.Members()), seen, nil
	})
	return answers, err
}

// identity is the SPIFFE ID of a ServiceAccount of the demo namespace.
func identity(trustDomain, serviceAccount string) string {
	return fmt.Sprintf("spiffe://%s/ns/%s/sa/%s", trustDomain, harness.DemoNamespace, serviceAccount)
}
