package trust

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// verifyPathLen refuses a signing certificate if every chain to a root has an authority whose path length (RFC 5280, 4.2.1.9) does not
// allow a certificate of a workload below the signing certificate. Chains begin with the signing certificate.
func verifyPathLen(chains [][]*x509.Certificate) error {
	var refused error
	for _, chain := range chains {
		err := pathLenOf(chain)
		if err == nil {
			return nil
		}
		refused = err
	}
	return refused
}

func pathLenOf(chain []*x509.Certificate) error {
	for below, c := range chain {
		if hasPathLen := c.MaxPathLen > 0 || c.MaxPathLen == 0 && c.MaxPathLenZero; hasPathLen && below > c.MaxPathLen {
			return fmt.Errorf("%w: certificate %q has the path length %d, and %d certificates of authorities are below it, that of the member "+
				"among them: use a root and an issuer without a path length, or with a greater one", ErrRootUnusable, c.Subject, c.MaxPathLen, below)
		}
	}
	return nil
}

// verifyWorkload signs a certificate as istiod does for a workload of the trust domain, verifies it as an X.509-SVID against the roots, as a
// proxy does, and drops it: name constraints of the authorities show only there.
func verifyWorkload(key crypto.PrivateKey, chain, roots []*x509.Certificate, trustDomain string, now time.Time) error {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return errors.New("the key of the certificate cannot sign")
	}
	domain, err := spiffeid.TrustDomainFromString(trustDomain)
	if err != nil {
		return fmt.Errorf("trust domain %q: %w", trustDomain, err)
	}
	id, err := spiffeid.FromSegments(domain, "ns", "default", "sa", "default")
	if err != nil {
		return fmt.Errorf("identity of a workload: %w", err)
	}
	current := verifyTime(chain, now)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: current.Add(-time.Minute), NotAfter: current.Add(time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, URIs: []*url.URL{id.URL()},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, chain[0], signer.Public(), signer)
	if err != nil {
		return fmt.Errorf("sign a certificate for a workload: %w", err)
	}
	leaf, err := x509.ParseCertificate(raw)
	if err != nil {
		return fmt.Errorf("read the certificate of a workload: %w", err)
	}
	svid := append([]*x509.Certificate{leaf}, chain...)
	if _, _, err := x509svid.Verify(svid, x509bundle.FromX509Authorities(domain, roots), x509svid.WithTime(current)); err != nil {
		return fmt.Errorf("%w: no proxy accepts what certificate %q signs for workloads of the trust domain %s: %w; use a root and an issuer "+
			"whose key usages and name constraints allow it", ErrRootUnusable, chain[0].Subject, trustDomain, err)
	}
	return nil
}
