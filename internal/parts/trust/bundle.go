// Package trust makes the mesh's certificates with cert-manager on the hub and hands each member its own signing
// certificate. The private key of the root stays on the hub.
package trust

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// ErrIncomplete says that cert-manager has not filled a Secret yet.
var ErrIncomplete = errors.New("not issued yet")

// caKey is the key of a Secret under which cert-manager keeps the issuer's root.
const caKey = "ca.crt"

// clockSkew is how far in the future a certificate may begin.
const clockSkew = 5 * time.Minute

// Bundle is what a member's istiod needs to sign workload certificates.
type Bundle struct {
	// Chain is the intermediate and what is between it and the root, PEM, signing certificate first.
	Chain []byte
	// Key is the intermediate's private key, PEM.
	Key []byte
	// Roots are the trusted roots, PEM.
	Roots []byte
	// NotBefore and NotAfter are the beginning and the end of the intermediate's life.
	NotBefore, NotAfter time.Time
}

// ReadBundle reads and verifies the Secret that cert-manager keeps for a member: the key belongs to the certificate,
// the certificate may sign for workloads of the trust domain, and it leads to the root. istiod would refuse anything less only after it
// was restarted, and proxies at the first connection. Errors: ErrIncomplete while cert-manager works, ErrRootUnusable.
func ReadBundle(s *corev1.Secret, trustDomain string, now time.Time) (*Bundle, error) {
	chain, key, roots := s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey], s.Data[caKey]
	if len(chain) == 0 || len(key) == 0 {
		return nil, ErrIncomplete
	}
	if len(roots) == 0 {
		return nil, errors.New("the issuer does not report its root (ca.crt is empty): use an issuer that does, such as cert-manager's CA issuer")
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		// The error names neither key nor certificate bytes.
		return nil, fmt.Errorf("certificate and key: %w", err)
	}
	certs, err := ParseCertificates(chain)
	if err != nil {
		return nil, fmt.Errorf("certificate chain: %w", err)
	}
	rootCerts, err := ParseCertificates(roots)
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	if err := verify(certs, rootCerts, now); err != nil {
		return nil, err
	}
	if err := verifyWorkload(pair.PrivateKey, certs, rootCerts, trustDomain, now); err != nil {
		return nil, err
	}
	return &Bundle{Chain: withoutRoots(certs, rootCerts), Key: key, Roots: encode(rootCerts), NotBefore: certs[0].NotBefore, NotAfter: certs[0].NotAfter}, nil
}

// Cacerts is the data of the Secret `cacerts` in the layout with four files. istiod reads a root of several
// certificates only in this layout, which a later rotation of the root needs.
func (b *Bundle) Cacerts() map[string][]byte {
	signing, _ := pem.Decode(b.Chain)
	return map[string][]byte{
		"ca-cert.pem":    pem.EncodeToMemory(signing),
		"ca-key.pem":     b.Key,
		"cert-chain.pem": b.Chain,
		"root-cert.pem":  b.Roots,
	}
}

// ParseCertificates reads every certificate of a PEM text. Error: there is none, or one does not parse.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, errors.New("no certificate found")
	}
	return certs, nil
}

// Fingerprints are the SHA-256 fingerprints (hex) of the certificates of a PEM text, sorted, each once.
func Fingerprints(text []byte) ([]string, error) {
	certs, err := ParseCertificates(text)
	if err != nil {
		return nil, err
	}
	out := make([]string, 0, len(certs))
	for _, c := range certs {
		out = append(out, fingerprint(c))
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func verify(chain, roots []*x509.Certificate, now time.Time) error {
	signing := chain[0]
	if !signing.IsCA || !signing.BasicConstraintsValid {
		return fmt.Errorf("certificate %q may not sign: the issuer must honour isCA", signing.Subject)
	}
	if slices.ContainsFunc(roots, signing.Equal) {
		return fmt.Errorf("certificate %q is itself the root, so that every member would have another: use an issuer that "+
			"signs with a root, such as cert-manager's CA issuer", signing.Subject)
	}
	chains, err := signing.Verify(verifyOptions(chain, roots, now))
	if err != nil {
		return fmt.Errorf("certificate %q does not lead to the root in ca.crt: %w", signing.Subject, err)
	}
	return verifyPathLen(chains)
}

// verifyOptions are those for a certificate at, or below, the beginning of a chain. The clocks of whoever signed and of this process
// differ a little: a certificate that begins in a moment is good.
func verifyOptions(chain, roots []*x509.Certificate, now time.Time) x509.VerifyOptions {
	rootPool, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range roots {
		rootPool.AddCert(c)
	}
	for _, c := range chain {
		between.AddCert(c)
	}
	return x509.VerifyOptions{
		Roots: rootPool, Intermediates: between, CurrentTime: verifyTime(chain, now), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
}

// verifyTime is the time at which a chain is verified: a certificate that begins within the difference of clocks is valid already.
func verifyTime(chain []*x509.Certificate, now time.Time) time.Time {
	if begin := chain[0].NotBefore; now.Before(begin) && begin.Sub(now) < clockSkew {
		return begin
	}
	return now
}

func withoutRoots(chain, roots []*x509.Certificate) []byte {
	isRoot := func(c *x509.Certificate) bool { return slices.ContainsFunc(roots, c.Equal) }
	return encode(slices.DeleteFunc(slices.Clone(chain), isRoot))
}

func encode(certs []*x509.Certificate) []byte {
	var out bytes.Buffer
	for _, c := range certs {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return out.Bytes()
}

// byExpiry orders certificates by the end of their lives.
func byExpiry(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }
