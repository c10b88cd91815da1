package controllers

import (
	"context"
	"fmt"
	"slices"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/trust"
)

// certificates makes the cert-manager objects exist as planned, each when what it rests on is ready, and removes the
// certificates of members that left.
func (r *MeshInstallationReconciler) certificates(ctx context.Context, inst *meshv1alpha1.MeshInstallation) phase.Result {
	wanted := trust.Plan(inst)
	if err := r.removeCertificates(ctx, inst, wanted); err != nil {
		return failed(err)
	}
	if wanted.Root != nil {
		if waiting, err := r.root(ctx, inst, wanted); err != nil {
			return failed(err)
		} else if waiting != "" {
			return phase.Waiting(meshv1alpha1.ReasonWaitingForCertificate, waiting, 0).
				Overdue(inst.CreationTimestamp.Time, r.Now(), certificateDeadline, meshv1alpha1.ReasonDeadlineExceeded)
		}
	}
	for i := range wanted.Intermediates {
		if _, err := r.ensureCertificate(ctx, inst, &wanted.Intermediates[i]); err != nil {
			return failed(err)
		}
	}
	return phase.Complete(meshv1alpha1.ReasonReady, "")
}

// root makes the root and the issuer that signs with it. It says what it waits for.
func (r *MeshInstallationReconciler) root(ctx context.Context, inst *meshv1alpha1.MeshInstallation, wanted trust.Wanted) (string, error) {
	if _, err := r.ensureIssuer(ctx, inst, wanted.SelfSigned); err != nil {
		return "", err
	}
	root, err := r.ensureCertificate(ctx, inst, wanted.Root)
	if err != nil {
		return "", err
	}
	if !slices.ContainsFunc(root.Status.Conditions, func(c cmv1.CertificateCondition) bool {
		return c.Type == cmv1.CertificateConditionReady && c.Status == cmmeta.ConditionTrue
	}) {
		return fmt.Sprintf("cert-manager has not issued the root, Certificate %q, yet", root.Name), nil
	}
	issuer, err := r.ensureIssuer(ctx, inst, wanted.RootIssuer)
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

func (r *MeshInstallationReconciler) ensureIssuer(ctx context.Context, inst *meshv1alpha1.MeshInstallation, want *cmv1.Issuer) (*cmv1.Issuer, error) {
	have := &cmv1.Issuer{ObjectMeta: metav1.ObjectMeta{Name: want.Name, Namespace: want.Namespace}}
	return have, r.ensure(ctx, inst, have, want.Labels, func() { have.Spec = want.Spec })
}

func (r *MeshInstallationReconciler) ensureCertificate(ctx context.Context, inst *meshv1alpha1.MeshInstallation, want *cmv1.Certificate) (*cmv1.Certificate, error) {
	have := &cmv1.Certificate{ObjectMeta: metav1.ObjectMeta{Name: want.Name, Namespace: want.Namespace}}
	return have, r.ensure(ctx, inst, have, want.Labels, func() { trust.Set(&have.Spec, want.Spec) })
}

// removeCertificates removes the certificates of members that left; their Secrets would stay else.
func (r *MeshInstallationReconciler) removeCertificates(ctx context.Context, inst *meshv1alpha1.MeshInstallation, wanted trust.Wanted) error {
	keep := map[string]bool{}
	if wanted.Root != nil {
		keep[wanted.Root.Name] = true
	}
	for i := range wanted.Intermediates {
		keep[wanted.Intermediates[i].Name] = true
	}
	present := &cmv1.CertificateList{}
	if err := r.Client.List(ctx, present, client.InNamespace(inst.Namespace), client.MatchingLabels{meshv1alpha1.LabelInstallation: inst.Name}); err != nil {
		return fmt.Errorf("list certificates: %w", err)
	}
	for i := range present.Items {
		c := &present.Items[i]
		if keep[c.Name] || !metav1.IsControlledBy(c, inst) {
			continue
		}
		if err := r.deleteCertificate(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// deleteCertificate deletes a Certificate and its Secret, which cert-manager would keep.
func (r *MeshInstallationReconciler) deleteCertificate(ctx context.Context, c *cmv1.Certificate) error {
	if err := r.Client.Delete(ctx, c); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete Certificate %q: %w", c.Name, err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: c.Spec.SecretName, Namespace: c.Namespace}}
	if err := r.Client.Delete(ctx, secret); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete Secret %q: %w", secret.Name, err)
	}
	return nil
}

// rootExpiry reads the end of the root's life, when the root is on the hub.
func (r *MeshInstallationReconciler) rootExpiry(ctx context.Context, inst *meshv1alpha1.MeshInstallation) error {
	name := plan.RootName(inst.Name)
	if inst.Spec.Trust.Root.IssuerRef != nil {
		name = plan.CASecretName(inst.Name, inst.Spec.Members[0].Name)
	}
	secret := &corev1.Secret{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: inst.Namespace, Name: name}, secret)
	if apierrors.IsNotFound(err) || err == nil && len(secret.Data["ca.crt"]) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read Secret %q: %w", name, err)
	}
	certs, err := trust.ParseCertificates(secret.Data["ca.crt"])
	if err != nil {
		return fmt.Errorf("root in Secret %q: %w", name, err)
	}
	first := slices.MinFunc(certs, trust.ByExpiry)
	inst.Status.Trust.NotAfter = &metav1.Time{Time: first.NotAfter}
	return nil
}
