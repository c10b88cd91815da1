package fleet

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math"
	"strings"
	"time"

	"k8s.io/client-go/rest"
)

// Lifetime is the lifetime of the credential in a kubeconfig. The credential has not been verified: the API server does that.
type Lifetime struct {
	// NotBefore is the beginning. Zero: it is not known.
	NotBefore time.Time
	// NotAfter is the end. Zero: the credential has no end, or does not contain it.
	NotAfter time.Time
}

// lifetimeOf reads the lifetime of a credential. With a token and a client certificate it is that of the one that ends first.
func lifetimeOf(config *rest.Config) Lifetime {
	token, certificate := ReadToken(config.BearerToken).Lifetime, lifetimeOfCertificate(config.CertData)
	if token.NotAfter.IsZero() || !certificate.NotAfter.IsZero() && certificate.NotAfter.Before(token.NotAfter) {
		return certificate
	}
	return token
}

// Token is what a JSON Web Token contains. It has not been verified.
type Token struct {
	Lifetime
	// Subject is the user. Empty: it is not known.
	Subject string
}

// ReadToken reads the claims of a JSON Web Token. Other tokens do not contain any: the zero value.
func ReadToken(token string) Token {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return Token{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return Token{}
	}
	var claims struct {
		Subject   string  `json:"sub"`
		IssuedAt  float64 `json:"iat"`
		ExpiresAt float64 `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return Token{}
	}
	return Token{Subject: claims.Subject, Lifetime: Lifetime{NotBefore: numericDate(claims.IssuedAt), NotAfter: numericDate(claims.ExpiresAt)}}
}

// lastDate is the last second that a time in a status can have. In a certificate it means that there is no end (RFC 5280, 4.1.2.5).
var lastDate = time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)

// numericDate is the time of a NumericDate of RFC 7519. Zero: it is none, or later than any that can be written.
func numericDate(seconds float64) time.Time {
	if seconds < 1 || seconds > float64(lastDate.Unix()) || math.IsNaN(seconds) {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}

// lifetimeOfCertificate reads a client certificate, PEM. A certificate that signs it may end before it.
func lifetimeOfCertificate(text []byte) Lifetime {
	var out Lifetime
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if block.Type != "CERTIFICATE" || err != nil {
			continue
		}
		if out.NotBefore.IsZero() {
			out.NotBefore = c.NotBefore
		}
		if out.NotAfter.IsZero() || c.NotAfter.Before(out.NotAfter) {
			out.NotAfter = c.NotAfter
		}
	}
	if !out.NotAfter.Before(lastDate) {
		return Lifetime{}
	}
	return out
}
