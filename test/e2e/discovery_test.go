//go:build e2e && upgrades

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/test/harness"
)

const (
	manyRenewals = 20
	// stuckDeadline is the time within which a peer that istiod reads no more must be found.
	stuckDeadline = 2 * time.Minute
)

// TestDiscovery renews reader tokens often, with API servers that make istiod open every watch anew and istiods that die in between. Its
// release is one that reads a peer no more when its remote secret is written. TestUpgrade lives with the shortest tokens for over an hour.
func TestDiscovery(t *testing.T) {
	s := newSuite(t, harness.Options{IstioVersions: []string{newVersion}})
	if !t.Run("install "+newVersion, s.installNew) {
		t.FailNow()
	}
	s.step(t, "tokens of the shortest life", func() error {
		return s.env.EditMesh(t.Context(), func(m *meshv1alpha1.MeshInstallation) {
			m.Spec.Discovery.TokenDuration = &metav1.Duration{Duration: shortestTokens}
		})
	})
	t.Run("twenty renewals", func(t *testing.T) { s.renewals(t, manyRenewals, loadPerSecond, nil) })
	t.Run("peer that istiod reads no more", s.peerStuck)
	t.Run("renewals while istiod dies and API servers restart", func(t *testing.T) { s.renewals(t, 4, loadPerSecond, s.disturbDiscovery) })
}

// disturbDiscovery kills all istiods of a member in one round, and restarts its API server in the next.
func (s *suite) disturbDiscovery(ctx context.Context, round int) error {
	members := s.env.Members()
	victim := s.env.Cluster(members[round/2%len(members)])
	if round%2 == 1 {
		if err := s.env.RestartComponent(ctx, victim.Name, "kube-apiserver"); err != nil {
			return err
		}
		return s.waitReady(ctx)
	}
	if err := victim.Client.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(istioSystem), client.MatchingLabels{"app": "istiod"}); err != nil {
		return err
	}
	return s.waitReady(ctx)
}

// installNew brings up what is missing and installs the sample at newVersion.
func (s *suite) installNew(t *testing.T) {
	ctx := t.Context()
	s.startUp(t)
	s.step(t, "remove a former mesh", func() error { return s.env.ForceDeleteMesh(ctx, removalDeadline) })
	s.step(t, "apply the sample at "+newVersion, func() error {
		return s.env.CreateMesh(ctx, func(m *meshv1alpha1.MeshInstallation) { m.Spec.Version = newVersion })
	})
	s.populate(t)
}

// peerStuck makes istiod of east stop reading west, as a change of the remote secret's bytes does, and expects the operator to find
// it, to name it, and to restart istiod, without a lost request.
func (s *suite) peerStuck(t *testing.T) {
	ctx := t.Context()
	east := s.env.Cluster("east")
	before, err := s.env.MeshMember(ctx, "east")
	if err != nil {
		t.Fatal(err)
	}
	s.underLoad(t, s.env.Members(), loadPerSecond, func() error {
		if err := changeBytes(ctx, east, "west"); err != nil {
			return err
		}
		if err := s.awaitMember(ctx, "east", "a restart of istiod is ordered", stuckDeadline, func(m *meshv1alpha1.MeshMember) bool {
			return mesh.IsRestarting(m) && m.Spec.IstiodRestart.Reason == meshv1alpha1.ReasonPeerStuck &&
				(before.Spec.IstiodRestart == nil || before.Spec.IstiodRestart.OrderedAt.Before(&m.Spec.IstiodRestart.OrderedAt))
		}); err != nil {
			return err
		}
		if err := s.awaitMember(ctx, "east", "the restart is proved", readyDeadline, func(m *meshv1alpha1.MeshMember) bool {
			return !mesh.IsRestarting(m)
		}); err != nil {
			return err
		}
		if err := s.freshServices(ctx, "after-restart"); err != nil {
			return err
		}
		return s.waitReady(ctx)
	})
}

func (s *suite) awaitMember(ctx context.Context, name, what string, deadline time.Duration, is func(*meshv1alpha1.MeshMember) bool) error {
	return harness.Await(ctx, name+": "+what, deadline, func(ctx context.Context) (bool, string, error) {
		m, err := s.env.MeshMember(ctx, name)
		if err != nil {
			return false, "", err
		}
		return is(m), fmt.Sprintf("peers %v, restart needed %v, ordered %v", m.Status.Discovery.Peers, m.Status.Discovery.RestartNeeded, m.Spec.IstiodRestart), nil
	})
}
