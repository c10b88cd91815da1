package webhooks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// certificate is one with its key, PEM.
func certificate(t *testing.T) (text, keyText string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

func TestAPIServerCA(t *testing.T) {
	one, key := certificate(t)
	other, _ := certificate(t)
	secretLine := strings.Split(key, "\n")[1]
	cases := map[string]struct {
		ca   string
		want string
	}{
		"none":                           {"", ""},
		"one":                            {one, ""},
		"two, with text between":         {one + "# the next one\n" + other, ""},
		"blank lines after it":           {one + "\n\n", ""},
		"base64 without PEM":             {"LS0tLS1CRUdJTg==", "contains no certificate in PEM"},
		"a path":                         {"/etc/kubernetes/pki/ca.crt", "contains no certificate in PEM"},
		"a private key":                  {key, "PEM block 1 is not a certificate"},
		"a private key after it":         {one + key, "PEM block 2 is not a certificate"},
		"a certificate that is broken":   {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1 cannot be parsed"},
		"one that is cut off after one":  {one + other[:len(other)/2], "contains more than the 1 certificates"},
		"a key that is cut off after it": {one + key[:len(key)/2], "contains more than the 1 certificates"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			with := testutil.Installation(testutil.With("east", func(m *meshv1alpha1.Member) { m.APIServerCA = c.ca }))
			errs := checkAPIServerCA(&change{inst: with})
			if (len(errs) > 0) != (c.want != "") {
				t.Fatalf("errors are %v, want %q", errs, c.want)
			}
			if c.want == "" {
				return
			}
			text := errs.ToAggregate().Error()
			if !strings.Contains(text, c.want) || !strings.Contains(text, "spec.members[east].apiServerCA") || strings.Contains(text, secretLine) {
				t.Errorf("the error is %q, want the field, %q, and nothing of a key", text, c.want)
			}
			if errs := checkAPIServerCA(&change{old: with, inst: with}); len(errs) > 0 {
				t.Errorf("an edit of something else is refused: %v", errs)
			}
		})
	}
}
