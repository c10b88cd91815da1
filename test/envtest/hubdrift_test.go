package envtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// hubDrift disturbs what the operator keeps on the hub.
func (s *suite) hubDrift(t *testing.T) {
	t.Run("work order", func(t *testing.T) {
		before, err := s.member(t.Context(), "east")
		must(t, err)
		edited := before.DeepCopy()
		edited.Spec.APIServer, edited.Spec.Tags = nowhere, nil
		delete(edited.Labels, meshv1alpha1.LabelInstallation)
		// A patch, because the operator may write the status meanwhile.
		must(t, s.hub.admin.Patch(t.Context(), edited, client.MergeFrom(before)))
		await(t, "the work order is as it was", func(ctx context.Context) error {
			now, err := s.member(ctx, "east")
			if err != nil {
				return err
			}
			if diff := cmp.Diff(before.Spec, now.Spec) + cmp.Diff(before.Labels, now.Labels); diff != "" {
				return fmt.Errorf("(-before +now):\n%s", diff)
			}
			return nil
		})
		s.awaitReady(t, both...)
	})
	t.Run("reader credential", s.tokenRenewal)
	t.Run("renewed intermediate", s.renewal)
}

// renewal replaces the intermediate of east, as cert-manager does in time. The member follows and stays ready.
func (s *suite) renewal(t *testing.T) {
	readySince := s.readySince(t, "east")
	p, name := &issuers{hub: s.hub.admin}, meshName+"-east-ca"
	certificate := &cmv1.Certificate{}
	must(t, s.hub.admin.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: name}, certificate))
	root, err := p.pair(t.Context(), operatorNamespace, meshName+"-root")
	must(t, err)
	renewed, err := sign(certificate, root)
	must(t, err)
	must(t, s.hub.admin.Update(t.Context(), renewed))
	await(t, "east signs with the new intermediate", func(ctx context.Context) error {
		secret := &corev1.Secret{}
		key := client.ObjectKey{Namespace: controlPlaneNamespace, Name: "cacerts"}
		if err := s.members["east"].admin.Get(ctx, key, secret); err != nil {
			return err
		}
		if !bytes.Equal(secret.Data["ca-key.pem"], renewed.Data[corev1.TLSPrivateKeyKey]) {
			return errors.New("cacerts has the old key")
		}
		return nil
	})
	s.awaitReady(t, both...)
	if since := s.readySince(t, "east"); !since.Equal(&readySince) {
		t.Errorf("east was not ready all the time: since %s, was since %s", since, readySince)
	}
}

// tokenRenewal takes the reader credential of east away, which has the effect of a renewal: west gets the new token, and no byte of
// its remote secret changes, because istiod would stop reading east.
func (s *suite) tokenRenewal(t *testing.T) {
	west := s.members["west"]
	remote := object{"v1", "Secret", controlPlaneNamespace, "istio-remote-secret-east"}
	tokens := object{"v1", "Secret", controlPlaneNamespace, mesh.ReaderTokensSecretName(mesh.ReaderTokensShard("east"))}
	before, err := remote.get(t.Context(), west)
	must(t, err)
	former, err := tokens.get(t.Context(), west)
	must(t, err)
	disturb(t, s.hub, object{"v1", "Secret", operatorNamespace, meshName + "-east-reader"}, nil)
	await(t, "east has a new reader credential, and west has the token", func(ctx context.Context) error {
		now, err := tokens.get(ctx, west)
		if err != nil {
			return err
		}
		if cmp.Equal(former.Object["data"], now.Object["data"]) {
			return errors.New("the token is the old one")
		}
		return nil
	})
	s.awaitReady(t, both...)
	now, err := remote.get(t.Context(), west)
	must(t, err)
	if now.GetResourceVersion() != before.GetResourceVersion() || now.GetUID() != before.GetUID() {
		t.Error("the remote secret was written for a renewal: istiod stops reading east")
	}
}
