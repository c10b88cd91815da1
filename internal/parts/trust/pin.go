package trust

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/meshfleet/meshfleet/internal/mesh"
)

var (
	// ErrRootMissing says that the hub has lost the mesh's root.
	ErrRootMissing = errors.New("the mesh's root is missing on the hub")
	// ErrRootChanged says that the hub has another root than the mesh.
	ErrRootChanged = errors.New("the hub has another root than the mesh")
	// ErrRootUnusable says that the root, or an issuer below it, may not sign what members need.
	ErrRootUnusable = errors.New("the root cannot be used")
)

// ShareKey says whether a certificate of one PEM text has the key of one of another: a root that was renewed with the same
// key. Proxies would accept both, but istiod compares bytes.
func ShareKey(a, b []byte) bool {
	some, errA := ParseCertificates(a)
	others, errB := ParseCertificates(b)
	return errA == nil && errB == nil && slices.ContainsFunc(some, func(x *x509.Certificate) bool {
		return slices.ContainsFunc(others, func(y *x509.Certificate) bool {
			return bytes.Equal(x.RawSubjectPublicKeyInfo, y.RawSubjectPublicKeyInfo)
		})
	})
}

// readRoot reads the Secret of a self-signed root as cert-manager's CA issuer does: the certificate is that in tls.crt.
// Error: ErrIncomplete without certificate or key.
func readRoot(s *corev1.Secret) (*x509.Certificate, error) {
	if s == nil || len(s.Data[corev1.TLSCertKey]) == 0 || len(s.Data[corev1.TLSPrivateKeyKey]) == 0 {
		return nil, ErrIncomplete
	}
	if _, err := tls.X509KeyPair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey]); err != nil {
		// The error names neither key nor certificate bytes.
		return nil, fmt.Errorf("certificate and key: %w", err)
	}
	certs, err := ParseCertificates(s.Data[corev1.TLSCertKey])
	if err != nil {
		return nil, err
	}
	if len(certs) > 1 {
		return nil, fmt.Errorf("%d certificates in place of the root alone", len(certs))
	}
	return certs[0], nil
}

// canSign says whether a root is good to be a new mesh's.
func canSign(root *x509.Certificate, now time.Time) bool {
	return root.IsCA && root.BasicConstraintsValid && now.Before(root.NotAfter) && root.CheckSignatureFrom(root) == nil
}

// checkPathLen refuses a root under which a member's intermediate may not sign: the path length counts the certificates of authorities
// below the root (RFC 5280, 4.2.1.9).
func checkPathLen(name string, root *x509.Certificate) error {
	if !root.BasicConstraintsValid || root.MaxPathLen != 0 || !root.MaxPathLenZero {
		return nil
	}
	return fmt.Errorf("%w: Secret %q has root %s with the path length 0, which may sign no intermediates of members; "+
		"put a root without a path length, or with at least 1, in its place", ErrRootUnusable, name, mesh.ShortRoot([]string{fingerprint(root)}))
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// checkRoot says how the root's Secret differs from the pinned root. It may be nil. known are the trusted roots of an
// intermediate that was issued under the pinned root, if there is one.
func checkRoot(name string, s *corev1.Secret, pinned []string, known []byte) error {
	const cure = "; restore the Secret from a backup (docs/backup.md). Until then no signing certificate is issued or renewed, " +
		"no cluster can join, and members keep the certificates that they have"
	root, err := readRoot(s)
	switch {
	case s == nil:
		return fmt.Errorf("%w: Secret %q with root %s does not exist%s", ErrRootMissing, name, mesh.ShortRoot(pinned), cure)
	case err != nil:
		return fmt.Errorf("%w: Secret %q, which had root %s, cannot be used (%w)%s", ErrRootMissing, name, mesh.ShortRoot(pinned), err, cure)
	case len(pinned) == 1 && pinned[0] == fingerprint(root):
		return nil
	}
	same := ""
	if ShareKey(s.Data[corev1.TLSCertKey], known) {
		same = ", another certificate of the same key"
	}
	return fmt.Errorf("%w: Secret %q has root %s%s, the mesh has %s%s", ErrRootChanged, name, mesh.ShortRoot([]string{fingerprint(root)}), same, mesh.ShortRoot(pinned), cure)
}
