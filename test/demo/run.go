package main

import (
	"context"
	"time"

	"github.com/meshfleet/meshfleet/test/harness"
	"github.com/meshfleet/meshfleet/test/traffic"
)

// readyDeadline is far above what a mesh takes, because a slow machine is not a broken mesh.
const readyDeadline = 5 * time.Minute

// run is the demo's story. Each step waits for what it has caused, so that the next one can rely on it.
func run(ctx context.Context, env *harness.Env) error {
	var ready harness.Readiness
	steps := []struct {
		name string
		run  func() error
	}{
		{"Bring up the clusters hub, east and west", func() error { return env.EnsureLab(ctx) }},
		{"Install the operator on the hub: kubectl apply -k config/default", func() error { return env.InstallOperator(ctx) }},
		{"Give the operator its credentials for east and west", func() error { return joinMembers(ctx, env) }},
		{"Apply the MeshInstallation: kubectl apply -k hack/lab/overlays/mesh", func() error { return env.ApplyMesh(ctx) }},
		{"Wait for the mesh to be ready", func() (err error) {
			ready, err = env.WaitReady(ctx, readyDeadline)
			return err
		}},
		{"Deploy the demo workloads, with STRICT mutual TLS", func() error { return env.DeployWorkloads(ctx) }},
		{"Send requests in and across the clusters", func() error { return traffic.AcrossClusters(ctx, env) }},
		{"Try to get in without mutual TLS", func() error { return traffic.StrictMTLS(ctx, env) }},
	}
	for _, s := range steps {
		if err := env.Step(s.name, s.run); err != nil {
			return err
		}
	}
	if err := env.PrintMembers(ctx, ready); err != nil {
		return err
	}
	env.Logf("The mesh was ready %s after the MeshInstallation was applied.", ready.Mesh.Round(100*time.Millisecond))
	env.Printf(farewell, env.Path("bin", "lab"))
	return nil
}

func joinMembers(ctx context.Context, env *harness.Env) error {
	for _, m := range env.Members() {
		if err := env.JoinMember(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

const farewell = `
The clusters stay up. To look around:

  export PATH="$(bin/labctl env):$PATH" KUBECONFIG=%s/hub.kubeconfig
  kubectl -n meshfleet-system get mesh,meshmembers

To see a canary upgrade from one release of Istio to the next, with a third cluster: make demo-upgrade
Remove everything with: make demo-down
`
