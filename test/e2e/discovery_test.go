//go:build e2e && upgrades

package e2e

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
)

const manyRenewals = 20

// TestDiscovery renews reader tokens often, with API servers that make istiod open every watch anew and istiods that die in between.
// TestUpgrade lives with the shortest tokens for over an hour.
func TestDiscovery(t *testing.T) {
	s := newSuite(t, harness.Options{})
	if !t.Run("install", s.install) {
		t.FailNow()
	}
	s.step(t, "tokens of the shortest life", func() error {
		return s.env.EditMesh(t.Context(), func(m *meshv1alpha1.MeshInstallation) {
			m.Spec.Discovery.TokenDuration = &metav1.Duration{Duration: shortestTokens}
		})
	})
	t.Run("twenty renewals", func(t *testing.T) { s.renewals(t, manyRenewals, loadPerSecond, nil) })
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
