package trust

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/hub"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// Hub keeps the cert-manager objects of installations.
type Hub struct {
	// Client reads and writes the hub.
	Client client.Client
}

// Ensure makes the cert-manager objects exist as planned, each when what it rests on is ready, and removes the
// certificates of members that left; those that are leaving keep theirs. Without a pinned root it pins what it finds in the status of inst. It says what it
// waits for, and nothing when all objects are there. Errors: ErrRootMissing, ErrRootChanged and ErrRootUnusable, from which nothing
// is issued anew.
func (h Hub) Ensure(ctx context.Context, inst *meshv1alpha1.MeshInstallation, now time.Time, leaving ...string) (waiting string, err error) {
	wanted := Plan(inst, leaving...)
	keep := map[string]bool{}
	if wanted.Root != nil {
		keep[wanted.Root.Name] = true
	}
	for i := range wanted.Intermediates {
		keep[wanted.Intermediates[i].Name] = true
	}
	present, err := h.removeExcept(ctx, inst, keep)
	if err != nil {
		return "", err
	}
	if wanted.Root != nil {
		if waiting, err := h.root(ctx, inst, wanted, now); waiting != "" || err != nil {
			return waiting, err
		}
	}
	for i := range wanted.Intermediates {
		want := &wanted.Intermediates[i]
		if isCurrent(present[want.Name], want, inst) {
			continue
		}
		if err := h.certificate(ctx, inst, want); err != nil {
			return "", err
		}
	}
	return h.intermediates(ctx, inst, wanted, now)
}

// intermediates looks at what was issued. With the user's own issuer its root is pinned by it, and another one is refused.
// A root of our own has been checked by now, so that an intermediate of another was issued in the meantime: it is issued
// again. It says what it waits for.
func (h Hub) intermediates(ctx context.Context, inst *meshv1alpha1.MeshInstallation, wanted Wanted, now time.Time) (string, error) {
	var known []byte
	var unusable error
	var strays []*corev1.Secret
	// All members have the same root: it is read once.
	read := map[string][]string{}
	for i := range wanted.Intermediates {
		secret, err := h.secret(ctx, inst, wanted.Intermediates[i].Name)
		if err != nil {
			return "", err
		}
		if secret == nil || len(secret.Data[caKey]) == 0 {
			continue
		}
		roots, isRead := read[string(secret.Data[caKey])]
		if !isRead {
			if roots, err = Fingerprints(secret.Data[caKey]); err != nil {
				// The member says so.
				continue
			}
			read[string(secret.Data[caKey])] = roots
		}
		if len(inst.Status.Trust.PinnedRoot) == 0 {
			_, err := ReadBundle(secret, inst.Spec.TrustDomain, now)
			if err == nil {
				inst.Status.Trust.PinnedRoot = roots
				log.FromContext(ctx).Info("Pinned the root", "root", mesh.ShortRoot(roots))
			} else if errors.Is(err, ErrRootUnusable) {
				unusable = fmt.Errorf("secret %q: %w", secret.Name, err)
			}
		}
		switch {
		case slices.Equal(roots, inst.Status.Trust.PinnedRoot):
			known = secret.Data[caKey]
		case len(inst.Status.Trust.PinnedRoot) > 0:
			strays = append(strays, secret)
		}
	}
	switch {
	case len(inst.Status.Trust.PinnedRoot) == 0 && unusable != nil:
		return "", unusable
	case len(inst.Status.Trust.PinnedRoot) == 0:
		return "the issuer of spec.trust.root.issuerRef has not signed yet, and its root is not known", nil
	case len(strays) == 0:
		return "", nil
	case wanted.Root == nil:
		return "", otherIssuer(inst, strays[0], known)
	}
	return h.reissue(ctx, strays)
}

// otherIssuer says that the user's issuer has another root than before.
func otherIssuer(inst *meshv1alpha1.MeshInstallation, stray *corev1.Secret, known []byte) error {
	roots, err := Fingerprints(stray.Data[caKey])
	if err != nil {
		return err
	}
	same := ""
	if ShareKey(stray.Data[caKey], known) {
		same = ", another certificate of the same key"
	}
	return fmt.Errorf("%w: issuer %q has signed Secret %q under root %s%s, the mesh has %s; give the issuer its former root, then delete "+
		"that Secret, so that it is issued again. Until then members keep the certificates that they have",
		ErrRootChanged, inst.Spec.Trust.Root.IssuerRef.Name, stray.Name, mesh.ShortRoot(roots), same, mesh.ShortRoot(inst.Status.Trust.PinnedRoot))
}

// reissue deletes Secrets that were signed by another root; cert-manager issues them again.
func (h Hub) reissue(ctx context.Context, strays []*corev1.Secret) (string, error) {
	for _, s := range strays {
		exact := client.Preconditions{UID: &s.UID, ResourceVersion: &s.ResourceVersion}
		if err := h.Client.Delete(ctx, s, exact); client.IgnoreNotFound(err) != nil {
			return "", fmt.Errorf("delete Secret %q: %w", s.Name, err)
		}
		log.FromContext(ctx).Info("Deleted a signing certificate of another root", "Secret", s.Name)
	}
	return fmt.Sprintf("cert-manager issues Secret %q again, which was signed under another root", strays[0].Name), nil
}

func (h Hub) issuer(ctx context.Context, inst *meshv1alpha1.MeshInstallation, want *cmv1.Issuer) (*cmv1.Issuer, error) {
	have := &cmv1.Issuer{ObjectMeta: metav1.ObjectMeta{Name: want.Name, Namespace: want.Namespace}}
	return have, hub.Ensure(ctx, h.Client, inst, have, want.Labels, func() error {
		have.Spec = want.Spec
		return nil
	})
}

func (h Hub) certificate(ctx context.Context, inst *meshv1alpha1.MeshInstallation, want *cmv1.Certificate) error {
	have := &cmv1.Certificate{ObjectMeta: metav1.ObjectMeta{Name: want.Name, Namespace: want.Namespace}}
	return hub.Ensure(ctx, h.Client, inst, have, want.Labels, func() error {
		Set(&have.Spec, want.Spec)
		return nil
	})
}

// Remove deletes every certificate of an installation with its Secret, and the Secret of its root.
func (h Hub) Remove(ctx context.Context, inst *meshv1alpha1.MeshInstallation) error {
	if _, err := h.removeExcept(ctx, inst, nil); err != nil {
		return err
	}
	secret, err := h.secret(ctx, inst, mesh.RootName(inst.Name))
	if err != nil || secret == nil || secret.Labels[meshv1alpha1.LabelInstallation] != inst.Name {
		return err
	}
	if err := h.Client.Delete(ctx, secret); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete Secret %q: %w", secret.Name, err)
	}
	return nil
}

// removeExcept deletes the certificates whose names are not to be kept. Their Secrets would stay else: cert-manager keeps them. It
// returns the certificates that stay, by name. They share their memory with the cache.
func (h Hub) removeExcept(ctx context.Context, inst *meshv1alpha1.MeshInstallation, keep map[string]bool) (map[string]*cmv1.Certificate, error) {
	list := &cmv1.CertificateList{}
	if err := h.Client.List(ctx, list, client.InNamespace(inst.Namespace), client.MatchingLabels{meshv1alpha1.LabelInstallation: inst.Name},
		client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list certificates: %w", err)
	}
	present := make(map[string]*cmv1.Certificate, len(list.Items))
	for i := range list.Items {
		c := &list.Items[i]
		if keep[c.Name] || !metav1.IsControlledBy(c, inst) {
			present[c.Name] = c
			continue
		}
		if err := h.remove(ctx, c.DeepCopy()); err != nil {
			return nil, err
		}
	}
	return present, nil
}

// remove deletes a certificate with its Secret.
func (h Hub) remove(ctx context.Context, c *cmv1.Certificate) error {
	if err := h.Client.Delete(ctx, c); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete Certificate %q: %w", c.Name, err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: c.Spec.SecretName, Namespace: c.Namespace}}
	if err := h.Client.Delete(ctx, secret); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete Secret %q: %w", secret.Name, err)
	}
	return h.letGo(ctx, c)
}
