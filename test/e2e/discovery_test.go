//go:build e2e && upgrades

package e2e

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
)

const (
	manyRenewals = 20
	// shortTokens is the shortest life that Kubernetes grants, shortPeriod how long the mesh lives with it.
	shortTokens = 10 * time.Minute
	shortPeriod = time.Hour
)

// TestDiscovery renews reader tokens often, with API servers that make istiod open every watch anew and istiods that die in between.
func TestDiscovery(t *testing.T) {
	s := newSuite(t, harness.Options{})
	if !t.Run("install", s.install) {
		t.FailNow()
	}
	t.Run("twenty renewals", func(t *testing.T) { s.renewals(t, manyRenewals, nil) })
	t.Run("renewals while istiod dies and API servers restart", func(t *testing.T) { s.renewals(t, 4, s.disturbDiscovery) })
	t.Run("tokens of ten minutes for an hour", s.shortLives)
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

// shortLives lets the mesh live with the shortest tokens for many lives of one.
func (s *suite) shortLives(t *testing.T) {
	ctx := t.Context()
	setLife := func(ctx context.Context, d time.Duration) error {
		return s.env.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) { m.Spec.Discovery.TokenDuration = &metav1.Duration{Duration: d} })
	}
	before := s.remoteSecretVersions(t)
	s.underLoad(t, s.env.Members(), loadPerSecond, func() error {
		if err := setLife(ctx, shortTokens); err != nil {
			return err
		}
		if err := s.renewTokens(ctx); err != nil {
			return err
		}
		for round, end := 0, time.Now().Add(shortPeriod); time.Now().Before(end); round++ {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(4 * time.Minute):
			}
			// Watches live for half an hour and longer: an API server that restarts makes istiod show its token.
			if err := s.disturbDiscovery(ctx, round); err != nil {
				return err
			}
			if err := s.freshServices(ctx, "short"); err != nil {
				return err
			}
		}
		return s.waitReady(ctx)
	})
	for name, version := range s.remoteSecretVersions(t) {
		if before[name] != version {
			t.Errorf("remote secret %s was written", name)
		}
	}
	if err := setLife(context.WithoutCancel(ctx), 168*time.Hour); err != nil {
		t.Error(err)
	}
}
