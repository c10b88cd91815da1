//go:build e2e && upgrades

package e2e

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
	"github.com/meshfleet/meshfleet/test/traffic"
)

// hopsFrom and hopsTo are the oldest and the newest release in the operator's image.
const hopsFrom, hopsTo = "1.28.3", "1.31.0"

// TestHops takes a mesh of three members over three minor versions by one change of the spec: through every minor version, and with as few
// steps as upstream supports.
func TestHops(t *testing.T) {
	s := newSuite(t, harness.Options{Members: []string{"east", "west", third}, IstioVersions: []string{"1.29.1", hopsFrom, "1.30.4", hopsTo}})
	if !t.Run("bring up", s.startUp) {
		t.FailNow()
	}
	for _, h := range []struct {
		step int32
		want []string
	}{
		{1, []string{"1.29.1", "1.30.4", hopsTo}},
		{2, []string{"1.30.4", hopsTo}},
	} {
		if !t.Run(fmt.Sprintf("install %s", hopsFrom), s.installOld) {
			t.FailNow()
		}
		t.Run(fmt.Sprintf("%d minor versions at a time", h.step), func(t *testing.T) { s.hop(t, h.step, h.want) })
	}
}

// hop changes the version once, and waits until the mesh has gone through all releases.
func (s *suite) hop(t *testing.T, step int32, want []string) {
	s.checkTraffic(t)
	stop, checked := make(chan struct{}), make(chan error, 1)
	go func() { checked <- traffic.RunUntil(t.Context(), s.env, stop) }()
	s.step(t, "hops under load", func() error { return s.hopUnderLoad(t.Context(), step, want) })
	close(stop)
	s.step(t, "traffic checks in every phase", func() error { return <-checked })
	s.checkTraffic(t)
	s.requireDiscovery(t)
}

func (s *suite) hopUnderLoad(ctx context.Context, step int32, want []string) error {
	load, err := s.env.StartSteady(ctx, s.env.Members(), upgradePerSecond)
	if err != nil {
		return err
	}
	phases := harness.NewPhases(load)
	phases.Begin(ctx, "before")
	err = s.env.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) {
		m.Spec.Version, m.Spec.Upgrade.MaxMinorStep, m.Spec.Upgrade.HistoryLimit = hopsTo, step, 10
	})
	var done []meshv1alpha1.MeshUpgrade
	found := differences{}
	for err == nil && (len(done) == 0 || done[len(done)-1].Spec.To.Version != hopsTo) {
		var u *meshv1alpha1.MeshUpgrade
		u, err = s.env.AwaitUpgrade(ctx, done, upgradeDeadline, []meshv1alpha1.UpgradePhase{meshv1alpha1.UpgradeSucceeded},
			func(u *meshv1alpha1.MeshUpgrade, at string) error {
				phases.Begin(ctx, "to "+u.Spec.To.Version+": "+at)
				return found.note(ctx, s.env, u)
			})
		if err == nil {
			done = append(done, *u)
		}
	}
	if err == nil {
		phases.Begin(ctx, "over, what is not used goes")
		err = s.env.AwaitRetired(ctx)
	}
	report, loadErr := load.Stop(context.WithoutCancel(ctx))
	phases.Print(s.env, report)
	found.print(s.env)
	if err := cmp.Or(err, loadErr, traffic.RequireNoFailure(report)); err != nil {
		return err
	}
	return s.requireSteps(ctx, want)
}

// differences are the messages of the gate ConfigDiff that passed, by upgrade and member.
type differences map[string]string

// note keeps the last message of each member that has installed the new revision.
func (d differences) note(ctx context.Context, env *harness.Env, u *meshv1alpha1.MeshUpgrade) error {
	members, err := env.MeshMembers(ctx)
	if err != nil {
		return err
	}
	for i := range members {
		st := members[i].Status.Rollout
		if st == nil || st.Upgrade != u.Name || st.Stage != meshv1alpha1.StageInstall {
			continue
		}
		for _, g := range st.Gates {
			if g.Name == "ConfigDiff" && g.Verdict == meshv1alpha1.VerdictPass {
				d[fmt.Sprintf("%s -> %s, %s", u.Spec.From.Version, u.Spec.To.Version, members[i].Spec.Cluster)] = g.Message
			}
		}
	}
	return nil
}

func (d differences) print(env *harness.Env) {
	for _, pair := range slices.Sorted(maps.Keys(d)) {
		env.Logf("  ConfigDiff %s: %s", pair, d[pair])
	}
}

// requireSteps wants the mesh to have gone through exactly these releases.
func (s *suite) requireSteps(ctx context.Context, want []string) error {
	all, err := s.env.Upgrades(ctx)
	if err != nil {
		return err
	}
	var got []string
	for i := range all {
		if all[i].Status.Phase != meshv1alpha1.UpgradeSucceeded {
			return fmt.Errorf("MeshUpgrade %s is %s: %s", all[i].Name, all[i].Status.Phase, all[i].Status.Message)
		}
		got = append(got, all[i].Spec.To.Version)
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("the mesh went through %v, want %v", got, want)
	}
	return nil
}
