package main

import (
	"context"
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
	"github.com/meshfleet/meshfleet/test/traffic"
)

const (
	oldVersion, newVersion = harness.FormerIstio, harness.NewestIstio
	// The deadlines are far above what a step takes, because a slow machine is not a broken mesh. An upgrade restarts every
	// workload of three members, one member after the other.
	meshDeadline, upgradeDeadline = 10 * time.Minute, 30 * time.Minute
	// perSecond is the rate from each member to each: nine loads share the machine with the clusters.
	perSecond = 5
)

// demoUpgrade creates a mesh of three members, sends requests from each member to each, and changes `spec.version`. It
// prints the steps of each member and the results of the requests. It fails if a member does not reach the new release or
// if a request is lost. It replaces the mesh of an earlier demo.
func demoUpgrade() {
	harness.Tell("demo-upgrade", harness.Options{
		Members: []string{"east", "west", "south"}, IstioVersions: []string{newVersion, oldVersion},
	}, runUpgrade)
}

func runUpgrade(ctx context.Context, env *harness.Env) error {
	var ready harness.Readiness
	waitReady := func() (err error) {
		ready, err = env.WaitReady(ctx, meshDeadline)
		return err
	}
	requests := harness.Stage{Name: "Send requests in and across the clusters", Run: func() error { return traffic.AcrossClusters(ctx, env) }}
	stages := append(env.StartUp(ctx), []harness.Stage{
		{Name: "Remove the mesh of an earlier demo", Run: func() error { return env.ForceDeleteMesh(ctx, meshDeadline) }},
		{Name: "Create a mesh of Istio " + oldVersion + ", with " + env.Members()[0] + " in a wave of its own", Run: func() error {
			return env.CreateMesh(ctx, inWaves(env))
		}},
		{Name: "Wait for the mesh to be ready", Run: waitReady},
		{Name: "Deploy the demo workloads, with STRICT mutual TLS", Run: func() error { return env.DeployWorkloads(ctx) }},
		requests,
		{Name: "Upgrade to Istio " + newVersion + ", with requests from each member to each", Run: func() error { return upgrade(ctx, env) }},
		{Name: "Wait for the mesh to be ready", Run: waitReady},
		requests,
	}...)
	if err := env.Stages(stages...); err != nil {
		return err
	}
	if err := env.PrintMembers(ctx, ready); err != nil {
		return err
	}
	env.PrintFarewell("mesh,meshmembers,meshupgrades", "")
	return nil
}

// inWaves puts the first member in a wave of its own.
func inWaves(env *harness.Env) func(*meshv1alpha1.MeshInstallation) {
	canary := map[string]string{"wave": "canary"}
	return func(m *meshv1alpha1.MeshInstallation) {
		m.Spec.Version, m.Spec.Members = oldVersion, nil
		for i, name := range env.Members() {
			labels := canary
			if i > 0 {
				labels = nil
			}
			m.Spec.Members = append(m.Spec.Members, harness.MemberByKubeconfig(name, labels))
		}
		m.Spec.Upgrade.Waves = []meshv1alpha1.Wave{{
			Name: "canary", MemberSelector: &metav1.LabelSelector{MatchLabels: canary}, Soak: &metav1.Duration{Duration: 10 * time.Second},
		}, {Name: "rest"}}
	}
}

// upgrade changes the version, follows what comes of it, and looks for what is left of the old release.
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
	done, err := change(ctx, env, before, phases)
	report, loadErr := load.Stop(context.WithoutCancel(ctx))
	phases.Print(env, report)
	if err := errors.Join(err, loadErr); err != nil {
		return err
	}
	for _, m := range env.Members() {
		if err := env.AwaitRevision(ctx, m, done.Spec.To.Revision); err != nil {
			return err
		}
	}
	return traffic.RequireNoFailure(report)
}

func change(ctx context.Context, env *harness.Env, before []meshv1alpha1.MeshUpgrade, phases *harness.Phases) (*meshv1alpha1.MeshUpgrade, error) {
	if err := env.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) { m.Spec.Version = newVersion }); err != nil {
		return nil, err
	}
	return env.AwaitUpgrade(ctx, before, upgradeDeadline, []meshv1alpha1.UpgradePhase{meshv1alpha1.UpgradeSucceeded},
		func(_ *meshv1alpha1.MeshUpgrade, step string) error {
			phases.Begin(ctx, step)
			return nil
		})
}
