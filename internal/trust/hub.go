package trust

import (
	"context"
	"fmt"
	"slices"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/hub"
	"github.com/meshfleet/meshfleet/internal/plan"
)

// Hub keeps the cert-manager objects of installations.
type Hub struct {
	// Client reads and writes the hub.
	Client client.Client
}

// Ensure makes the cert-manager objects exist as planned, each when what it rests on is ready, and removes the
// certificates of members that left. It says what it waits for, and nothing when all objects are there.
func (h Hub) Ensure(ctx context.Context, inst *meshv1alpha1.MeshInstallation) (waiting string, err error) {
	wanted := Plan(inst)
	keep := map[string]bool{}
	if wanted.Root != nil {
		keep[wanted.Root.Name] = true
	}
	for i := range wanted.Intermediates {
		keep[wanted.Intermediates[i].Name] = true
	}
	if err := h.removeExcept(ctx, inst, keep); err != nil {
		return "", err
	}
	if wanted.Root != nil {
		if waiting, err := h.root(ctx, inst, wanted); waiting != "" || err != nil {
			return waiting, err
		}
	}
	for i := range wanted.Intermediates {
		if _, err := h.certificate(ctx, inst, &wanted.Intermediates[i]); err != nil {
			return "", err
		}
	}
	return "", nil
}

// root makes the root and the issuer that signs with it. It says what it waits for.
func (h Hub) root(ctx context.Context, inst *meshv1alpha1.MeshInstallation, wanted Wanted) (string, error) {
	if _, err := h.issuer(ctx, inst, wanted.SelfSigned); err != nil {
		return "", err
	}
	root, err := h.certificate(ctx, inst, wanted.Root)
	if err != nil {
		return "", err
	}
	if !slices.ContainsFunc(root.Status.Conditions, func(c cmv1.CertificateCondition) bool {
		return c.Type == cmv1.CertificateConditionReady && c.Status == cmmeta.ConditionTrue
	}) {
		return fmt.Sprintf("cert-manager has not issued the root, Certificate %q, yet", root.Name), nil
	}
	issuer, err := h.issuer(ctx, inst, wanted.RootIssuer)
	if err != nil {
		return "", err
	}
	if !slices.ContainsFunc(issuer.Status.Conditions, func(c cmv1.IssuerCondition) bool {
		return c.Type == cmv1.IssuerConditionReady && c.Status == cmmeta.ConditionTrue
	}) {
		return fmt.Sprintf("cert-manager's Issuer %q is not ready yet", issuer.Name), nil
	}
	return "", nil
}

func (h Hub) issuer(ctx context.Context, inst *meshv1alpha1.MeshInstallation, want *cmv1.Issuer) (*cmv1.Issuer, error) {
	have := &cmv1.Issuer{ObjectMeta: metav1.ObjectMeta{Name: want.Name, Namespace: want.Namespace}}
	return have, hub.Ensure(ctx, h.Client, inst, have, want.Labels, func() { have.Spec = want.Spec })
}

func (h Hub) certificate(ctx context.Context, inst *meshv1alpha1.MeshInstallation, want *cmv1.Certificate) (*cmv1.Certificate, error) {
	have := &cmv1.Certificate{ObjectMeta: metav1.ObjectMeta{Name: want.Name, Namespace: want.Namespace}}
	return have, hub.Ensure(ctx, h.Client, inst, have, want.Labels, func() { Set(&have.Spec, want.Spec) })
}

// Remove deletes every certificate of an installation with its Secret.
func (h Hub) Remove(ctx context.Context, inst *meshv1alpha1.MeshInstallation) error {
	return h.removeExcept(ctx, inst, nil)
}

// removeExcept deletes the certificates whose names are not to be kept. Their Secrets would stay else: cert-manager
// keeps them.
func (h Hub) removeExcept(ctx context.Context, inst *meshv1alpha1.MeshInstallation, keep map[string]bool) error {
	present := &cmv1.CertificateList{}
	if err := h.Client.List(ctx, present, client.InNamespace(inst.Namespace), client.MatchingLabels{meshv1alpha1.LabelInstallation: inst.Name}); err != nil {
		return fmt.Errorf("list certificates: %w", err)
	}
	for i := range present.Items {
		c := &present.Items[i]
		if keep[c.Name] || !metav1.IsControlledBy(c, inst) {
			continue
		}
		if err := h.Client.Delete(ctx, c); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete Certificate %q: %w", c.Name, err)
		}
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: c.Spec.SecretName, Namespace: c.Namespace}}
		if err := h.Client.Delete(ctx, secret); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete Secret %q: %w", secret.Name, err)
		}
	}
	return nil
}

// RootNotAfter reads the end of the root's life. It is zero as long as no root is on the hub.
func (h Hub) RootNotAfter(ctx context.Context, inst *meshv1alpha1.MeshInstallation) (time.Time, error) {
	name := plan.RootName(inst.Name)
	if inst.Spec.Trust.Root.IssuerRef != nil {
		name = plan.CASecretName(inst.Name, inst.Spec.Members[0].Name)
	}
	secret := &corev1.Secret{}
	err := h.Client.Get(ctx, client.ObjectKey{Namespace: inst.Namespace, Name: name}, secret)
	if apierrors.IsNotFound(err) || err == nil && len(secret.Data["ca.crt"]) == 0 {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read Secret %q: %w", name, err)
	}
	certs, err := ParseCertificates(secret.Data["ca.crt"])
	if err != nil {
		return time.Time{}, fmt.Errorf("root in Secret %q: %w", name, err)
	}
	return slices.MinFunc(certs, byExpiry).NotAfter, nil
}
