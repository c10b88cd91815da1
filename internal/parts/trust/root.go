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
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/hub"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// root makes the root once and pins it; from then on it is only looked at, and its Certificate is taken out of
// cert-manager's reach. Then comes the issuer that signs with it. It says what it waits for. Errors: ErrRootMissing and
// ErrRootChanged.
func (h Hub) root(ctx context.Context, inst *meshv1alpha1.MeshInstallation, wanted Wanted, now time.Time) (string, error) {
	secret, err := h.secret(ctx, inst, wanted.Root.Name)
	if err != nil {
		return "", err
	}
	if len(inst.Status.Trust.PinnedRoot) == 0 {
		if waiting, err := h.newRoot(ctx, inst, wanted, secret, now); waiting != "" || err != nil {
			return waiting, err
		}
	}
	if err := h.retire(ctx, inst, wanted, secret); err != nil {
		return "", err
	}
	known, err := h.known(ctx, inst, wanted)
	if err != nil {
		return "", err
	}
	if err := checkRoot(wanted.Root.Name, secret, inst.Status.Trust.PinnedRoot, known); err != nil {
		return "", err
	}
	if err := h.keep(ctx, inst, secret); err != nil {
		return "", err
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

// newRoot has cert-manager make a root, unless there is one, and pins it. The Certificate is written once: cert-manager
// would answer a change with another root.
func (h Hub) newRoot(ctx context.Context, inst *meshv1alpha1.MeshInstallation, wanted Wanted, secret *corev1.Secret, now time.Time) (string, error) {
	certificate := &cmv1.Certificate{}
	err := h.Client.Get(ctx, client.ObjectKeyFromObject(wanted.Root), certificate)
	if client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("read Certificate %q: %w", wanted.Root.Name, err)
	}
	isThere := err == nil
	if isThere && !metav1.IsControlledBy(certificate, inst) {
		return "", fmt.Errorf("certificate %q: %w", wanted.Root.Name, hub.ErrNotOurs)
	}
	isIssued := !isThere || slices.ContainsFunc(certificate.Status.Conditions, func(c cmv1.CertificateCondition) bool {
		return c.Type == cmv1.CertificateConditionReady && c.Status == cmmeta.ConditionTrue
	})
	if root, err := readRoot(secret); err == nil && isIssued && canSign(root, now) {
		if err := checkPathLen(wanted.Root.Name, root); err != nil {
			return "", err
		}
		inst.Status.Trust.PinnedRoot = []string{fingerprint(root)}
		log.FromContext(ctx).Info("Pinned the root", "root", mesh.ShortRoot(inst.Status.Trust.PinnedRoot))
		return "", nil
	}
	if !isThere {
		if _, err := h.issuer(ctx, inst, wanted.SelfSigned); err != nil {
			return "", err
		}
		if err := h.certificate(ctx, inst, wanted.Root); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("cert-manager has not issued the root, Certificate %q, yet", wanted.Root.Name), nil
}

// retire takes the root's Certificate away from cert-manager, which would make another root as soon as the Secret is lost or
// the Certificate is changed. The Secret stays. cert-manager does nothing with a Certificate that is being deleted, so a
// finalizer holds it in that state until the Secret has no owner that would take it along. Each step causes the next: the
// Certificate is watched.
func (h Hub) retire(ctx context.Context, inst *meshv1alpha1.MeshInstallation, wanted Wanted, secret *corev1.Secret) error {
	certificate := &cmv1.Certificate{}
	err := h.Client.Get(ctx, client.ObjectKeyFromObject(wanted.Root), certificate)
	if apierrors.IsNotFound(err) {
		return h.dropSelfSigned(ctx, inst, wanted)
	}
	if err != nil {
		return fmt.Errorf("read Certificate %q: %w", wanted.Root.Name, err)
	}
	if !metav1.IsControlledBy(certificate, inst) {
		return fmt.Errorf("certificate %q: %w", certificate.Name, hub.ErrNotOurs)
	}
	if certificate.DeletionTimestamp.IsZero() {
		if controllerutil.AddFinalizer(certificate, meshv1alpha1.Finalizer) {
			if err := h.Client.Update(ctx, certificate); err != nil {
				return fmt.Errorf("hold Certificate %q: %w", certificate.Name, err)
			}
		}
		if err := h.Client.Delete(ctx, certificate); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete Certificate %q: %w", certificate.Name, err)
		}
		return nil
	}
	if secret != nil {
		// Nothing is written if there is nothing to take off, and the call fails if the cache is behind.
		options := []client.UpdateOption{client.DryRunAll}
		if disown(secret) {
			options = nil
		}
		if err := h.Client.Update(ctx, secret, options...); err != nil {
			return fmt.Errorf("take the owner off Secret %q: %w", secret.Name, err)
		}
	}
	return h.letGo(ctx, certificate)
}

// letGo takes our finalizer off a Certificate.
func (h Hub) letGo(ctx context.Context, certificate *cmv1.Certificate) error {
	before := certificate.DeepCopy()
	if !controllerutil.RemoveFinalizer(certificate, meshv1alpha1.Finalizer) {
		return nil
	}
	if err := h.Client.Patch(ctx, certificate, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("release Certificate %q: %w", certificate.Name, err)
	}
	return nil
}

// dropSelfSigned deletes the issuer of roots: nothing is to be issued by it any more.
func (h Hub) dropSelfSigned(ctx context.Context, inst *meshv1alpha1.MeshInstallation, wanted Wanted) error {
	issuer := &cmv1.Issuer{}
	err := h.Client.Get(ctx, client.ObjectKeyFromObject(wanted.SelfSigned), issuer)
	if err == nil && metav1.IsControlledBy(issuer, inst) {
		err = h.Client.Delete(ctx, issuer)
	}
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete Issuer %q: %w", wanted.SelfSigned.Name, err)
	}
	return nil
}

// keep makes sure that the root's Secret goes with the mesh and not before, also after a restore.
func (h Hub) keep(ctx context.Context, inst *meshv1alpha1.MeshInstallation, secret *corev1.Secret) error {
	before := secret.DeepCopy()
	changed := disown(secret)
	if secret.Labels[meshv1alpha1.LabelInstallation] != inst.Name {
		metav1.SetMetaDataLabel(&secret.ObjectMeta, meshv1alpha1.LabelInstallation, inst.Name)
		changed = true
	}
	if !changed {
		return nil
	}
	if err := h.Client.Patch(ctx, secret, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("label Secret %q: %w", secret.Name, err)
	}
	return nil
}

// disown takes the Certificate off a Secret's owners. cert-manager sets it with --enable-certificate-owner-ref.
func disown(secret *corev1.Secret) bool {
	before := len(secret.OwnerReferences)
	secret.OwnerReferences = slices.DeleteFunc(secret.OwnerReferences, func(o metav1.OwnerReference) bool { return o.Kind == cmv1.CertificateKind })
	return len(secret.OwnerReferences) != before
}

// secret reads a Secret of the installation's namespace. Nil: it does not exist.
func (h Hub) secret(ctx context.Context, inst *meshv1alpha1.MeshInstallation, name string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := h.Client.Get(ctx, client.ObjectKey{Namespace: inst.Namespace, Name: name}, secret)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %q: %w", name, err)
	}
	return secret, nil
}

// known finds the pinned root itself, PEM: with an intermediate that was issued under it. Empty: there is none.
func (h Hub) known(ctx context.Context, inst *meshv1alpha1.MeshInstallation, wanted Wanted) ([]byte, error) {
	for i := range wanted.Intermediates {
		secret, err := h.secret(ctx, inst, wanted.Intermediates[i].Name)
		if err != nil {
			return nil, err
		}
		if secret == nil {
			continue
		}
		if have, err := Fingerprints(secret.Data[caKey]); err == nil && slices.Equal(have, inst.Status.Trust.PinnedRoot) {
			return secret.Data[caKey], nil
		}
	}
	return nil, nil
}

// RootLifetime reads the lifetime of the pinned root: with several certificates, that of the one that expires first. Zero: the pinned root is not
// on the hub.
func (h Hub) RootLifetime(ctx context.Context, inst *meshv1alpha1.MeshInstallation) (notBefore, notAfter time.Time, err error) {
	text, err := h.known(ctx, inst, Plan(inst))
	if err != nil {
		return notBefore, notAfter, err
	}
	if len(text) == 0 {
		secret, err := h.secret(ctx, inst, mesh.RootName(inst.Name))
		if err != nil || secret == nil {
			return notBefore, notAfter, err
		}
		text = secret.Data[corev1.TLSCertKey]
		if have, err := Fingerprints(text); err != nil || !slices.Equal(have, inst.Status.Trust.PinnedRoot) {
			return notBefore, notAfter, nil //nolint:nilerr // checkRoot reports a Secret that cannot be read
		}
	}
	certs, err := ParseCertificates(text)
	if err != nil {
		return notBefore, notAfter, fmt.Errorf("pinned root: %w", err)
	}
	first := slices.MinFunc(certs, byExpiry)
	return first.NotBefore, first.NotAfter, nil
}
