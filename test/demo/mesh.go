// Command demo shows Meshfleet at work on three real clusters: it brings the lab up, installs the operator as a pod
// on the hub, applies the sample MeshInstallation and proves with real requests that east and west are one mesh. It
// leaves everything running to be explored and exits with status 0 only if every proof holds.
package main

import (
	"context"
	"time"

	"github.com/meshfleet/meshfleet/test/harness"
	"github.com/meshfleet/meshfleet/test/traffic"
)

// readyDeadline is far above what a mesh takes, because a slow machine is not a broken mesh.
const readyDeadline = 5 * time.Minute

func main() { harness.Tell("demo", harness.Options{}, run) }

// run is the demo's story. Each stage waits for what it has caused, so that the next one can rely on it.
func run(ctx context.Context, env *harness.Env) error {
	var ready harness.Readiness
	stages := append(env.StartUp(ctx), []harness.Stage{
		{Name: "Apply the MeshInstallation: kubectl apply -k " + harness.MeshOverlay, Run: func() error { return env.ApplyMesh(ctx) }},
		{Name: "Wait for the mesh to be ready", Run: func() (err error) {
			ready, err = env.WaitReady(ctx, readyDeadline)
			return err
		}},
		{Name: "Deploy the demo workloads, with STRICT mutual TLS", Run: func() error { return env.DeployWorkloads(ctx) }},
		{Name: "Send requests in and across the clusters", Run: func() error { return traffic.AcrossClusters(ctx, env) }},
		{Name: "Try to get in without mutual TLS", Run: func() error { return traffic.StrictMTLS(ctx, env) }},
	}...)
	if err := env.Stages(stages...); err != nil {
		return err
	}
	if err := env.PrintMembers(ctx, ready); err != nil {
		return err
	}
	env.Logf("The mesh was ready %s after the MeshInstallation was applied.", ready.Mesh.Round(100*time.Millisecond))
	env.PrintFarewell("mesh,meshmembers", `
To see a canary upgrade from one release of Istio to the next, with a third member: make demo-upgrade`)
	return nil
}
