package traffic

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshfleet/meshfleet/test/harness"
)

// listedHost is the name of the ServiceEntry. Nothing resolves it: the clients dial the address and name the host.
const listedHost = "listed.external.example"

// Egress shows REGISTRY_ONLY: of two services outside the mesh a client reaches the one that a ServiceEntry lists, and
// is blocked from the other. Without the policy it reaches both.
func Egress(ctx context.Context, env *harness.Env) (err error) {
	external := manifest("external")
	defer func() {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Minute)
		defer cancel()
		err = errors.Join(err, env.Hub.Delete(cleanup, external))
	}()
	if err := env.Hub.Apply(ctx, external); err != nil {
		return err
	}
	listedIP, err := loadBalancerAddress(ctx, env, "listed")
	if err != nil {
		return err
	}
	unlistedIP, err := loadBalancerAddress(ctx, env, "unlisted")
	if err != nil {
		return err
	}
	listed := harness.Request{
		URL: fmt.Sprintf("http://%s:8001/", listedIP), Headers: map[string]string{"Host": listedHost},
		Timeout: 3 * time.Second, NewConnection: true,
	}
	unlisted := harness.Request{
		URL: fmt.Sprintf("http://%s:8002/", unlistedIP), Timeout: 3 * time.Second, NewConnection: true,
	}
	open := func(ctx context.Context) error {
		for _, m := range env.Members() {
			if err := awaitEgress(ctx, env, env.Guest(m), listed, true); err != nil {
				return err
			}
			if err := awaitEgress(ctx, env, env.Guest(m), unlisted, true); err != nil {
				return err
			}
		}
		return nil
	}
	// Without this a host that cannot be reached at all would pass for blocked.
	if err := open(ctx); err != nil {
		return err
	}
	objects, err := harness.Render(manifest("egress"), map[string]string{"Listed": listedIP})
	if err != nil {
		return err
	}
	body := func() error {
		for _, m := range env.Members() {
			if err := awaitEgress(ctx, env, env.Guest(m), unlisted, false); err != nil {
				return err
			}
			if err := awaitEgress(ctx, env, env.Guest(m), listed, true); err != nil {
				return err
			}
		}
		return nil
	}
	return withObjects(ctx, env, objects, body, open)
}

// awaitEgress waits until several requests in a row reach the outside, or until none does.
func awaitEgress(ctx context.Context, env *harness.Env, from harness.Client, request harness.Request, wantReached bool) error {
	request.Count = 3
	what := fmt.Sprintf("%s to reach %s: %v", from, request.URL, wantReached)
	return harness.Await(ctx, what, effectDeadline, func(ctx context.Context) (bool, string, error) {
		answers, err := from.Send(ctx, request)
		if err != nil {
			return false, "", err
		}
		for _, a := range answers {
			if a.OK() != wantReached {
				return false, a.String() + " " + a.Body, nil
			}
		}
		env.Logf("  %s to %s: %s", from, request.URL, answers[0])
		return true, "", nil
	})
}

// loadBalancerAddress waits for the address of one of the external services.
func loadBalancerAddress(ctx context.Context, env *harness.Env, name string) (string, error) {
	address := ""
	what := fmt.Sprintf("an address for Service external/%s", name)
	err := harness.Await(ctx, what, effectDeadline, func(ctx context.Context) (bool, string, error) {
		service := &corev1.Service{}
		key := types.NamespacedName{Namespace: "external", Name: name}
		if err := env.Hub.Client.Get(ctx, key, service); err != nil {
			return false, "", err
		}
		for _, ingress := range service.Status.LoadBalancer.Ingress {
			address = ingress.IP
		}
		return address != "", "none", nil
	})
	return address, err
}
