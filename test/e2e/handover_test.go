//go:build e2e && packaging

package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
)

const (
	// stopLimit is how long the lease may be without a living holder when the leader is stopped: it gives the lease back, and the other replica
	// asks for it every 2 seconds. killLimit is the same when it is killed: the lease expires after 15 seconds.
	stopLimit, killLimit = 10 * time.Second, 30 * time.Second
	handoverDeadline     = 2 * time.Minute
)

// handover takes the leader of two replicas away under load, once with time to end and once without. It measures the time until the other one holds
// the lease, and until a change of the mesh that is made at once is worked on.
func (n *newcomer) handover(t *testing.T) {
	ctx := t.Context()
	n.steps(t, n.commands(t, installPage, "Update")[0]+" --set manager.replicas=2")
	n.step(t, "two replicas run", func() error { return n.env.AwaitOperator(ctx) })
	for _, c := range []struct {
		name  string
		take  func(context.Context, string) error
		limit time.Duration
		mode  meshv1alpha1.UpgradeMode
	}{
		{"stopped", n.env.StopLeader, stopLimit, meshv1alpha1.UpgradeModePlan},
		{"killed", n.env.KillLeader, killLimit, meshv1alpha1.UpgradeModeRun},
	} {
		t.Run(c.name, func(t *testing.T) {
			var held, worked time.Duration
			n.underLoad(t, n.env.Members(), loadPerSecond, func() (err error) {
				held, worked, err = n.takeLeader(ctx, c.take, c.mode)
				return err
			})
			n.env.Logf("  leader %s: the other replica held the lease after %.1f s, a change was worked on after %.1f s", c.name, held.Seconds(), worked.Seconds())
			if held > c.limit {
				t.Errorf("the other replica held the lease after %s, want at most %s", held, c.limit)
			}
			n.step(t, "two replicas run again", func() error { return n.env.AwaitOperator(ctx) })
			n.step(t, "the mesh is ready", func() error { return n.waitReady(ctx) })
		})
	}
}

// takeLeader takes the leader away, and changes a setting of the mesh that changes nothing else.
func (n *newcomer) takeLeader(ctx context.Context, take func(context.Context, string) error, mode meshv1alpha1.UpgradeMode) (held, worked time.Duration, err error) {
	former, err := n.env.AwaitLeader(ctx, "", handoverDeadline)
	if err != nil {
		return 0, 0, err
	}
	from := time.Now()
	if err := take(ctx, former); err != nil {
		return 0, 0, err
	}
	// The lease is watched beside the change, which may wait for the webhook of a pod that is gone.
	type handedOver struct {
		after time.Duration
		err   error
	}
	lease := make(chan handedOver, 1)
	go func() {
		_, err := n.env.AwaitLeader(ctx, former, handoverDeadline)
		lease <- handedOver{time.Since(from), err}
	}()
	var generation int64
	// The API server may still ask the webhook of the pod that ends.
	err = harness.Await(ctx, "a change of the mesh to be admitted", handoverDeadline, func(ctx context.Context) (bool, string, error) {
		if err := n.env.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) { m.Spec.Upgrade.Mode = mode }); err != nil {
			return false, "", err
		}
		m, err := n.env.Installation(ctx)
		if err != nil {
			return false, "", err
		}
		generation = m.Generation
		return true, "", nil
	})
	if err != nil {
		return 0, 0, errors.Join(err, (<-lease).err)
	}
	n.env.Logf("  a change was admitted after %.1f s", time.Since(from).Seconds())
	other := <-lease
	if other.err != nil {
		return 0, 0, other.err
	}
	err = harness.Await(ctx, "the change to be worked on", handoverDeadline, func(ctx context.Context) (bool, string, error) {
		m, err := n.env.Installation(ctx)
		if err != nil {
			return false, "", err
		}
		return m.Status.ObservedGeneration >= generation, fmt.Sprintf("generation %d of %d", m.Status.ObservedGeneration, generation), nil
	})
	return other.after, time.Since(from), err
}
