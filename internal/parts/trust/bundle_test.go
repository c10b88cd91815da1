package trust

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func TestReadBundle(t *testing.T) {
	for algorithm, newKey := range map[string]func(*testing.T) crypto.Signer{"ECDSA": ecdsaKey, "RSA": rsaKey} {
		t.Run(algorithm, func(t *testing.T) {
			root := issue(t, "root", newKey(t), nil)
			other := issue(t, "other root", newKey(t), nil)
			between := issue(t, "between", newKey(t), root)
			signing := issue(t, "signing", newKey(t), root, lasting(-time.Hour, 24*time.Hour))
			deep := issue(t, "deep", newKey(t), between)
			cases := map[string]struct {
				secret               *corev1.Secret
				wantChain, wantRoots []byte
			}{
				"an intermediate of the root":         {secret(text(signing), keyText(t, signing), text(root)), text(signing), text(root)},
				"a root inside the chain is left out": {secret(text(signing, root), keyText(t, signing), text(root)), text(signing), text(root)},
				"what is between stays in the chain":  {secret(text(deep, between), keyText(t, deep), text(root)), text(deep, between), text(root)},
				"two roots are both trusted":          {secret(text(signing), keyText(t, signing), text(other, root)), text(signing), text(other, root)},
				"what else is in the text is dropped": {secret(join([]byte("# signing\n"), text(signing)), keyText(t, signing), join(text(root), keyText(t, other))), text(signing), text(root)},
			}
			for name, c := range cases {
				t.Run(name, func(t *testing.T) {
					b, err := ReadBundle(c.secret, trustDomain, now)
					if err != nil {
						t.Fatal(err)
					}
					signing, _ := pem.Decode(c.wantChain)
					want := map[string][]byte{
						"ca-cert.pem": pem.EncodeToMemory(signing), "cert-chain.pem": c.wantChain,
						"ca-key.pem": c.secret.Data[corev1.TLSPrivateKeyKey], "root-cert.pem": c.wantRoots,
					}
					if diff := cmp.Diff(want, b.Cacerts()); diff != "" {
						t.Errorf("cacerts (-want +got):\n%s", diff)
					}
				})
			}
			b, err := ReadBundle(secret(text(signing), keyText(t, signing), text(root)), trustDomain, now)
			if err != nil || !b.NotAfter.Equal(now.Add(24*time.Hour)) {
				t.Errorf("bundle ends %v (%v), want the end of the signing certificate", b, err)
			}
		})
	}
}

func TestReadBundleRefuses(t *testing.T) {
	root := issue(t, "root", ecdsaKey(t), nil)
	other := issue(t, "root", ecdsaKey(t), nil)
	signing := issue(t, "signing", ecdsaKey(t), root)
	leaf := issue(t, "leaf", ecdsaKey(t), root, notCA)
	expired := issue(t, "expired", ecdsaKey(t), root, lasting(-2*time.Hour, -time.Hour))
	early := issue(t, "early", ecdsaKey(t), root, lasting(time.Hour, 2*time.Hour))
	cases := map[string]*corev1.Secret{
		"the key of another certificate":             secret(text(signing), keyText(t, other), text(root)),
		"a certificate that may not sign":            secret(text(leaf), keyText(t, leaf), text(root)),
		"a certificate that has ended":               secret(text(expired), keyText(t, expired), text(root)),
		"a certificate that begins in an hour":       secret(text(early), keyText(t, early), text(root)),
		"a certificate that leads to another root":   secret(text(signing), keyText(t, signing), text(other)),
		"an issuer that does not report its root":    secret(text(signing), keyText(t, signing), nil),
		"an issuer by which every member is a root":  secret(text(root), keyText(t, root), text(root)),
		"a chain that is no certificate":             secret([]byte("text"), keyText(t, signing), text(root)),
		"a root that is no certificate":              secret(text(signing), keyText(t, signing), []byte("text")),
		"a chain whose second certificate is broken": secret(join(text(signing), broken), keyText(t, signing), text(root)),
	}
	for name, s := range cases {
		t.Run(name, func(t *testing.T) {
			b, err := ReadBundle(s, trustDomain, now)
			if err == nil {
				t.Fatalf("it is accepted: %+v", b)
			}
			if errors.Is(err, ErrIncomplete) {
				t.Errorf("it is taken for incomplete: %v", err)
			}
			checkNoKey(t, err, s)
		})
	}
}

var broken = []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")

// checkNoKey checks that no line of the private key is in the text of an error.
func checkNoKey(t *testing.T, err error, s *corev1.Secret) {
	t.Helper()
	for line := range strings.Lines(string(s.Data[corev1.TLSPrivateKeyKey])) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") && strings.Contains(err.Error(), line) {
			t.Errorf("the error has a part of the private key: %v", err)
		}
	}
}

// TestReadBundleRefusesAuthoritiesThatMayNotSign is about certificates that lead to the root and sign nothing that a proxy accepts.
func TestReadBundleRefusesAuthoritiesThatMayNotSign(t *testing.T) {
	pathLen := func(n int) template {
		return func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = n, n == 0 }
	}
	uris := func(domains ...string) template {
		return func(c *x509.Certificate) { c.PermittedURIDomains, c.PermittedDNSDomainsCritical = domains, true }
	}
	without := func(*x509.Certificate) {}
	cases := map[string]struct {
		root, between, signing template
		want                   string
	}{
		"no limits":                                {root: without, between: without, signing: without},
		"a root with room for both":                {root: pathLen(2), between: pathLen(1), signing: pathLen(0)},
		"a root that may sign leaves only":         {root: pathLen(0), signing: without, want: "path length 0, and 1 certificates"},
		"a root without room for the member":       {root: pathLen(1), between: without, signing: without, want: "path length 1, and 2 certificates"},
		"an issuer that may sign leaves only":      {root: without, between: pathLen(0), signing: without, want: `"CN=between" has the path length 0`},
		"a root for names of the trust domain":     {root: uris(trustDomain), signing: without},
		"a root for names of another domain":       {root: uris("example.com"), signing: without, want: "trust domain cluster.local"},
		"an issuer for names of another domain":    {root: without, between: uris("example.com"), signing: without, want: "trust domain cluster.local"},
		"a signing certificate for another domain": {root: without, signing: uris("example.com"), want: "trust domain cluster.local"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			root := issue(t, "root", ecdsaKey(t), nil, c.root)
			by, chain := root, []*authority(nil)
			if c.between != nil {
				by = issue(t, "between", ecdsaKey(t), root, c.between)
				chain = append(chain, by)
			}
			signing := issue(t, "signing", ecdsaKey(t), by, c.signing)
			s := secret(text(append([]*authority{signing}, chain...)...), keyText(t, signing), text(root))
			_, err := ReadBundle(s, trustDomain, now)
			if c.want == "" {
				if err != nil {
					t.Errorf("it is refused: %v", err)
				}
				return
			}
			if !errors.Is(err, ErrRootUnusable) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error is %v, want ErrRootUnusable with %q", err, c.want)
			}
			checkNoKey(t, err, s)
		})
	}
}

func TestReadBundleWaitsWhileCertManagerWorks(t *testing.T) {
	root := issue(t, "root", ecdsaKey(t), nil)
	cases := map[string]*corev1.Secret{
		"no Secret yet": {},
		"only the key":  secret(nil, keyText(t, root), nil),
		"no key":        secret(text(root), nil, text(root)),
		"only the root": secret(nil, nil, text(root)),
	}
	for name, s := range cases {
		t.Run(name, func(t *testing.T) {
			if b, err := ReadBundle(s, trustDomain, now); !errors.Is(err, ErrIncomplete) {
				t.Errorf("bundle %v, error %v, want ErrIncomplete", b, err)
			}
		})
	}
}

func TestReadBundleAllowsForClocksThatDiffer(t *testing.T) {
	root := issue(t, "root", ecdsaKey(t), nil)
	signing := issue(t, "signing", ecdsaKey(t), root, lasting(clockSkew/2, time.Hour))
	if _, err := ReadBundle(secret(text(signing), keyText(t, signing), text(root)), trustDomain, now); err != nil {
		t.Errorf("a certificate that begins in %s is refused: %v", clockSkew/2, err)
	}
}

func TestFingerprints(t *testing.T) {
	a, b := issue(t, "a", ecdsaKey(t), nil), issue(t, "b", ecdsaKey(t), nil)
	fingerprint := func(x *authority) string {
		sum := sha256.Sum256(x.cert.Raw)
		return hex.EncodeToString(sum[:])
	}
	both := []string{fingerprint(a), fingerprint(b)}
	slices.Sort(both)
	cases := map[string]struct {
		text []byte
		want []string
	}{
		"one":                          {text(a), []string{fingerprint(a)}},
		"two, sorted":                  {text(a, b), both},
		"two in another order":         {text(b, a), both},
		"each once":                    {text(a, b, a), both},
		"other blocks are passed over": {join(keyText(t, a), text(a)), []string{fingerprint(a)}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Fingerprints(c.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("fingerprints (-want +got):\n%s", diff)
			}
		})
	}
	for name, bad := range map[string][]byte{"nothing": nil, "a text": []byte("text"), "a broken certificate": broken} {
		if got, err := Fingerprints(bad); err == nil {
			t.Errorf("%s gives %v, want an error", name, got)
		}
	}
}

func TestByExpiry(t *testing.T) {
	long, short := issue(t, "long", ecdsaKey(t), nil), issue(t, "short", ecdsaKey(t), nil, lasting(0, time.Hour))
	if byExpiry(short.cert, long.cert) >= 0 || byExpiry(long.cert, short.cert) <= 0 || byExpiry(long.cert, long.cert) != 0 {
		t.Error("certificates are not ordered by their end")
	}
}
