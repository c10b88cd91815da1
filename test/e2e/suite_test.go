//go:build e2e

package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/meshfleet/meshfleet/test/harness"
	"github.com/meshfleet/meshfleet/test/traffic"
)

// readyDeadline is far above what a mesh takes, because a slow machine is not a broken mesh.
const readyDeadline = 5 * time.Minute

// suite is what the subtests share.
type suite struct {
	env *harness.Env
}

// TestMesh follows one mesh from its installation to its deletion.
func TestMesh(t *testing.T) {
	s := newSuite(t, harness.Options{})

	// Nothing that follows means anything without a mesh.
	if !t.Run("install", s.install) {
		t.FailNow()
	}
	t.Run("traffic", s.traffic)
	t.Run("admission", s.admission)
	t.Run("tag renamed", s.tagRenamed)
	t.Run("drift", s.drift)
	t.Run("root lost", s.rootLost)
	t.Run("reader tokens renewed under load", s.tokensRenewed)
	t.Run("remote secret written by hand under load", s.remoteSecretWritten)
	t.Run("steady state makes no write calls", s.steadyState)
	t.Run("a new operator process makes no write calls", s.restartedOperator)
	t.Run("MeshMember deleted under load", s.memberDeletedByHand)
	t.Run("hub restored by the guide", s.restoredByGuide)
	t.Run("broken kubeconfig", s.brokenKubeconfig)
	t.Run("member cut off", s.cutOff)
	if t.Run("member added under load", s.memberAdded) && t.Run("member removed under load", s.memberRemoved) {
		t.Run("cluster with another root", s.foreignRoot)
	}
	t.Run("hub as a member", s.hubAsMember)
	if t.Run("installation deleted", s.deleted) {
		t.Run("operator uninstalled by the guide", s.uninstalledByGuide)
	}
}

// step runs one step of a subtest and ends the subtest when it fails, with diagnostics.
func (s *suite) step(t *testing.T, name string, run func() error) {
	t.Helper()
	if err := s.env.Step(name, run); err != nil {
		s.env.Dump(t.Context(), t.Name())
		t.Fatal(err)
	}
}

// startUp brings up what is not there yet.
func (s *suite) startUp(t *testing.T) {
	for _, stage := range s.env.StartUp(t.Context()) {
		s.step(t, stage.Name, stage.Run)
	}
}

// install is the demo's path.
func (s *suite) install(t *testing.T) {
	s.startUp(t)
	s.step(t, "apply the sample", func() error { return s.env.ApplyMesh(t.Context()) })
	s.populate(t)
}

// populate waits for the mesh and deploys the workloads.
func (s *suite) populate(t *testing.T) {
	ctx := t.Context()
	s.step(t, "wait for the mesh", func() error { return s.waitReady(ctx) })
	s.step(t, "deploy the workloads", func() error { return s.env.DeployWorkloads(ctx) })
}

// waitReady waits for the mesh and prints its members.
func (s *suite) waitReady(ctx context.Context) error {
	ready, err := s.env.WaitReady(ctx, readyDeadline)
	if err != nil {
		return err
	}
	return s.env.PrintMembers(ctx, ready)
}

// traffic runs every check of what users of a mesh rely on.
func (s *suite) traffic(t *testing.T) {
	for _, c := range traffic.Checks() {
		t.Run(c.Name, func(t *testing.T) {
			s.step(t, c.Name, func() error { return c.Run(t.Context(), s.env) })
		})
	}
}

// underLoad runs an action while every given member sends requests to every given member, and wants none to fail.
func (s *suite) underLoad(t *testing.T, members []string, perSecond int, action func() error) {
	t.Helper()
	s.step(t, "under load", func() error {
		load, err := s.env.StartSteady(t.Context(), members, perSecond)
		if err != nil {
			return err
		}
		actionErr := action()
		report, err := load.Stop(context.WithoutCancel(t.Context()))
		if actionErr != nil {
			return actionErr
		}
		if err != nil {
			return err
		}
		return traffic.RequireNoFailure(report)
	})
}
