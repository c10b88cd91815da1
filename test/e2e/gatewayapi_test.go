//go:build e2e && upgrades

package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
	"github.com/meshfleet/meshfleet/test/traffic"
)

// webGateway is how requests from outside get to echo: istiod makes a Deployment and a Service for it.
const webGateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: web
  namespace: demo
spec:
  gatewayClassName: istio
  listeners:
  - name: http
    port: 80
    protocol: HTTP
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: web
  namespace: demo
spec:
  parentRefs:
  - name: web
  rules:
  - backendRefs:
    - name: echo
      port: 8080
`

const (
	webName = "web"
	// webDeadline is for istiod to see that there is a Gateway API, to run a gateway, and for it to get an address.
	webDeadline = 3 * time.Minute
	// gatewayPace is how often a Gateway is looked at during an upgrade.
	gatewayPace = 200 * time.Millisecond
)

// gatewayAPI upgrades while a client outside of the mesh and of the cluster sends requests, each over a connection of its own,
// through a Gateway of the Gateway API. The Gateway must stay programmed and nothing may be lost.
func (s *suite) gatewayAPI(t *testing.T) {
	ctx := t.Context()
	s.step(t, "define the Gateway API in east", func() error { return s.env.InstallGatewayAPI(ctx, "east") })
	s.step(t, "make a Gateway and a route", func() error { return s.env.Cluster("east").Apply(ctx, webGateway) })
	t.Cleanup(func() {
		if err := s.env.Cluster("east").Delete(context.WithoutCancel(ctx), webGateway); err != nil {
			t.Error(err)
		}
	})
	var url string
	s.step(t, "wait until requests get through it", func() (err error) {
		url, err = s.webURL(ctx)
		return err
	})
	look := newGatewayLook(s.env)
	load, err := s.env.Plain("west").Dialing().StartRolling(ctx, []string{url}, upgradePerSecond)
	if err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceValues(func() (map[string]harness.LoadReport, error) {
		reports, _, err := load.Stop(context.WithoutCancel(ctx))
		return reports, err
	})
	t.Cleanup(func() { _, _ = stop() })
	go look.run(ctx)
	u := s.upgradeUnderLoad(t, s.env.Members(), meshv1alpha1.UpgradeSucceeded, func(m *meshv1alpha1.MeshInstallation) error {
		return harness.SetValue(m, "25", "env", "PILOT_PUSH_THROTTLE")
	}, nil)
	s.step(t, "nothing was lost at the Gateway", func() error {
		reports, err := stop()
		if err != nil {
			return err
		}
		s.env.Logf("  from outside: %s", reports[url])
		for _, f := range reports[url].Failures[:min(len(reports[url].Failures), 5)] {
			s.env.Logf("    failed at %s: %s %s (status %d)", f.At.Format(time.TimeOnly), f.Kind, f.Error, f.Status)
		}
		return traffic.RequireNoFailure(reports[url])
	})
	s.step(t, "the Gateway was programmed all the while", func() error { return look.require() })
	s.requireUpgraded(t, u)
	s.step(t, "its pods are of "+u.Spec.To.Revision, func() error { return s.requireGatewayPods(ctx, u.Spec.To.Revision) })
}

// webURL waits until the Gateway is programmed, has an address, and answers there.
func (s *suite) webURL(ctx context.Context) (string, error) {
	var url string
	err := harness.Await(ctx, "the Gateway to be programmed", webDeadline, func(ctx context.Context) (bool, string, error) {
		g, err := s.env.Cluster("east").Gateway(ctx, harness.DemoNamespace, webName)
		if err != nil || !g.IsProgrammed() || g.Address == "" {
			return false, fmt.Sprintf("%s %s: %s, address %q", g.Programmed.Status, g.Programmed.Reason, g.Programmed.Message, g.Address), err
		}
		url = "http://" + g.Address + "/"
		return true, "", nil
	})
	if err != nil {
		return "", err
	}
	// A load balancer may refuse the first connections, and the route may still be on its way.
	const inARow = 10
	return url, harness.Await(ctx, "answers through the Gateway", webDeadline, func(ctx context.Context) (bool, string, error) {
		answers, err := s.env.Plain("west").Send(ctx, harness.Request{URL: url, Count: inARow, NewConnection: true})
		if err != nil {
			return false, "", err
		}
		for _, a := range answers {
			if !a.OK() {
				return false, a.String() + " " + a.Body, nil
			}
		}
		return true, "", nil
	})
}

// requireGatewayPods wants all pods that istiod has made for the Gateway to be of one revision.
func (s *suite) requireGatewayPods(ctx context.Context, revision string) error {
	pods := &corev1.PodList{}
	if err := s.env.Cluster("east").Client.List(ctx, pods, client.InNamespace(harness.DemoNamespace),
		client.MatchingLabels{"gateway.networking.k8s.io/gateway-name": webName}); err != nil {
		return fmt.Errorf("list pods of the Gateway: %w", err)
	}
	if len(pods.Items) == 0 {
		return fmt.Errorf("the Gateway has no pods")
	}
	for i := range pods.Items {
		if got := harness.InjectedRevision(&pods.Items[i]); got != revision {
			return fmt.Errorf("pod %s is of revision %q, want %q", pods.Items[i].Name, got, revision)
		}
	}
	return nil
}

// gatewayLook looks at the Gateway again and again, and at what the gate says of it.
type gatewayLook struct {
	env *harness.Env

	mu       sync.Mutex
	samples  int
	bad      []string
	verdicts map[meshv1alpha1.Verdict]string
}

func newGatewayLook(env *harness.Env) *gatewayLook {
	return &gatewayLook{env: env, verdicts: map[meshv1alpha1.Verdict]string{}}
}

// run looks until the test is over.
func (l *gatewayLook) run(ctx context.Context) {
	tick := time.NewTicker(gatewayPace)
	defer tick.Stop()
	for {
		l.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (l *gatewayLook) look(ctx context.Context) {
	g, err := l.env.Cluster("east").Gateway(ctx, harness.DemoNamespace, webName)
	member, memberErr := l.env.MeshMember(ctx, "east")
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.samples++
	}
	if p := g.Programmed; err == nil && !g.IsProgrammed() {
		l.bad = append(l.bad, fmt.Sprintf("%s: %q, %s: %s, of generation %d instead of %d", time.Now().Format(time.TimeOnly), p.Status, p.Reason,
			p.Message, p.ObservedGeneration, g.Generation))
	}
	if memberErr != nil || member.Status.Rollout == nil {
		return
	}
	for _, r := range member.Status.Rollout.Gates {
		if r.Name == "GatewaysProgrammed" {
			l.verdicts[r.Verdict] = r.Message
		}
	}
}

// require wants every sample to be good, and the gate to have passed for the Gateway.
func (l *gatewayLook) require() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.env.Logf("  %d samples, %d not programmed", l.samples, len(l.bad))
	for verdict, message := range l.verdicts {
		l.env.Logf("  gate GatewaysProgrammed: %s: %s", verdict, message)
	}
	switch {
	case l.samples == 0:
		return fmt.Errorf("the Gateway was never seen")
	case len(l.bad) > 0:
		return fmt.Errorf("the Gateway was not programmed in %d of %d samples: %s", len(l.bad), l.samples, strings.Join(l.bad, "; "))
	case !strings.Contains(l.verdicts[meshv1alpha1.VerdictPass], "1 Gateway programmed, 1 HTTPRoute accepted"):
		return fmt.Errorf("the gate was not seen to pass for the Gateway and its route: %v", l.verdicts)
	}
	return nil
}
