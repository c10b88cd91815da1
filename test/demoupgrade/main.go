// Command demoupgrade shows a canary upgrade on real clusters: a mesh of three members at one release of Istio, requests
// from each member to each, and a change of `spec.version`. It prints what happens in which member and what came of the
// requests, and exits with status 0 only if the upgrade succeeds and none is lost. It leaves everything running.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
	"github.com/meshfleet/meshfleet/test/traffic"
)

const (
	oldVersion, newVersion = "1.28.3", "1.29.1"
	// deadline is far above what a step takes, because a slow machine is not a broken mesh.
	deadline = 10 * time.Minute
	// perSecond is the rate from each member to each.
	perSecond = 10
)

func main() {
	if err := demo(); err != nil {
		fmt.Fprintf(os.Stderr, "\ndemo failed: %v\n", err)
		os.Exit(1)
	}
}

func demo() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	env, err := harness.New(harness.Options{
		Members: []string{"east", "west", "south"}, IstioVersions: []string{newVersion, oldVersion},
	})
	if err != nil {
		return err
	}
	if err := run(ctx, env); err != nil {
		env.Dump(ctx, "demo")
		return err
	}
	return nil
}

func run(ctx context.Context, env *harness.Env) error {
	steps := []struct {
		name string
		run  func() error
	}{
		{"Bring up the clusters hub, east, west and south", func() error { return env.EnsureLab(ctx) }},
		{"Install the operator on the hub", func() error { return env.InstallOperator(ctx) }},
		{"Give the operator its credentials for the members", func() error { return joinMembers(ctx, env) }},
		{"Remove the mesh of an earlier demo", func() error { return env.DeleteMesh(ctx, deadline) }},
		{"Create a mesh of Istio " + oldVersion, func() error { return env.CreateMesh(ctx, inWaves(env)) }},
		{"Wait for the mesh to be ready", func() error {
			_, err := env.WaitReady(ctx, deadline)
			return err
		}},
		{"Deploy the demo workloads, with STRICT mutual TLS", func() error { return env.DeployWorkloads(ctx) }},
		{"Send requests in and across the clusters", func() error { return traffic.AcrossClusters(ctx, env) }},
		{"Upgrade to Istio " + newVersion + ", with requests from each member to each", func() error { return upgrade(ctx, env) }},
		{"Send requests in and across the clusters", func() error { return traffic.AcrossClusters(ctx, env) }},
	}
	for _, s := range steps {
		if err := env.Step(s.name, s.run); err != nil {
			return err
		}
	}
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

// inWaves puts the first member in a wave of its own.
func inWaves(env *harness.Env) func(*meshv1alpha1.MeshInstallation) {
	return func(m *meshv1alpha1.MeshInstallation) {
		m.Spec.Version, m.Spec.Members = oldVersion, nil
		for i, name := range env.Members() {
			labels := map[string]string{}
			if i == 0 {
				labels["wave"] = "canary"
			}
			m.Spec.Members = append(m.Spec.Members, harness.MemberByKubeconfig(name, labels))
		}
		m.Spec.Upgrade.Waves = []meshv1alpha1.Wave{{
			Name: "canary", Soak: &metav1.Duration{Duration: 10 * time.Second},
			MemberSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"wave": "canary"}},
		}, {Name: "rest"}}
	}
}

// upgrade changes the version and follows what comes of it.
func upgrade(ctx context.Context, env *harness.Env) error {
	before, err := env.Upgrades(ctx)
	if err != nil {
		return err
	}
	load, err := env.StartSteady(ctx, env.Members(), perSecond)
	if err != nil {
		return err
	}
	phases := harness.NewPhases(load)
	phases.Begin(ctx, "before the change")
	err = env.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) { m.Spec.Version = newVersion })
	if err == nil {
		_, err = env.AwaitUpgrade(ctx, before, deadline, []meshv1alpha1.UpgradePhase{meshv1alpha1.UpgradeSucceeded},
			func(_ *meshv1alpha1.MeshUpgrade, step string) error {
				phases.Begin(ctx, step)
				return nil
			})
	}
	report, loadErr := load.Stop(context.WithoutCancel(ctx))
	phases.Print(env, report)
	if err := errors.Join(err, loadErr); err != nil {
		return err
	}
	return traffic.RequireNoFailure(report)
}

const farewell = `
The clusters stay up. To look around:

  export PATH="$(bin/labctl env):$PATH" KUBECONFIG=%s/hub.kubeconfig
  kubectl -n meshfleet-system get mesh,meshmembers,meshupgrades

Remove everything with: make demo-down
`
