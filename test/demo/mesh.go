package main

import (
	"context"
	"time"

	"github.com/meshfleet/meshfleet/test/harness"
	"github.com/meshfleet/meshfleet/test/traffic"
)

// readyDeadline is far above what a mesh takes, because a slow machine is not a broken mesh.
const readyDeadline = 5 * time.Minute

// demoMesh joins two members into one mesh and proves it with requests in and across the clusters.
func demoMesh() { harness.Tell("demo", harness.Options{}, runMesh) }

// runMesh is the story of demoMesh. Each stage waits for its own effect, so that the next stage can rely on it.
func runMesh(ctx context.Context, env *harness.Env) error {
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
