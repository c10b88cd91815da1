//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// foreignRoot lets a cluster join that has a root of trust already. The operator must say so and must not touch it: the
// cluster's workloads trust that root and no other.
func (s *suite) foreignRoot(t *testing.T) {
	ctx := t.Context()
	south := s.env.Cluster(third)
	secret, err := foreignCA()
	if err != nil {
		t.Fatal(err)
	}
	if err := south.Client.Create(ctx, secret); err != nil {
		t.Fatal(err)
	}
	s.step(t, "add "+third, func() error { return s.env.AddMember(ctx, third) })
	s.step(t, third+" says "+meshv1alpha1.ReasonForeignRoot, func() error {
		c, err := s.env.WaitCondition(ctx, third, meshv1alpha1.ConditionTrustRootReady, func(c metav1.Condition) bool {
			return c.Status == metav1.ConditionFalse && c.Reason == meshv1alpha1.ReasonForeignRoot
		}, time.Minute)
		s.env.Logf("  %s", c.Message)
		return err
	})
	s.step(t, "the others stay ready", func() error {
		for _, m := range []string{"east", "west"} {
			_, err := s.env.WaitCondition(ctx, m, meshv1alpha1.ConditionReachable, isTrue, time.Minute)
			if err != nil {
				return err
			}
			if _, err := s.env.WaitCondition(ctx, m, meshv1alpha1.ConditionAvailable, isTrue, time.Minute); err != nil {
				return err
			}
		}
		return nil
	})
	s.step(t, "take "+third+" out", func() error {
		if err := s.env.RemoveMember(ctx, third); err != nil {
			return err
		}
		return s.awaitMemberGone(ctx, third)
	})
	s.step(t, "the foreign root is as it was", func() error { return requireUnchanged(ctx, south.Client, secret) })
	// The cluster is a member again in other tests.
	s.step(t, "delete it", func() error { return south.Client.Delete(ctx, secret) })
	s.step(t, "the mesh is ready", func() error { return s.waitReady(ctx) })
}

func isTrue(c metav1.Condition) bool { return c.Status == metav1.ConditionTrue }

// requireUnchanged checks that nobody has written the Secret since it was created.
func requireUnchanged(ctx context.Context, c client.Client, before *corev1.Secret) error {
	live := &corev1.Secret{}
	if err := c.Get(ctx, client.ObjectKeyFromObject(before), live); err != nil {
		return fmt.Errorf("get Secret %s: %w", client.ObjectKeyFromObject(before), err)
	}
	// A diff would print the key.
	if !cmp.Equal(before.Data, live.Data) || before.ResourceVersion != live.ResourceVersion {
		return fmt.Errorf("the Secret %s has changed", client.ObjectKeyFromObject(before))
	}
	return nil
}

// foreignCA is a plug-in CA as an administrator could have made one by hand.
func foreignCA() (*corev1.Secret, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "somebody else's root"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make a root: %w", err)
	}
	rawKey, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode the key: %w", err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: istioSystem, Name: "cacerts"},
		Data: map[string][]byte{
			"ca-cert.pem": certificate, "root-cert.pem": certificate, "cert-chain.pem": certificate,
			"ca-key.pem": pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: rawKey}),
		},
	}, nil
}
