package webhooks

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// checkAPIServerCA checks that authorities of API servers are certificates and nothing else. They are copied to all peers, so that a private
// key must not get among them.
func checkAPIServerCA(c *change) field.ErrorList {
	var errs field.ErrorList
	for i := range c.inst.Spec.Members {
		m := &c.inst.Spec.Members[i]
		if before := c.before(m.Name); m.APIServerCA == "" || before != nil && before.APIServerCA == m.APIServerCA {
			continue
		}
		if problem := problemWithCertificates([]byte(m.APIServerCA), "apiServer"); problem != "" {
			errs = append(errs, field.Invalid(memberPath(m.Name).Child("apiServerCA"), field.OmitValueType{}, problem))
		}
	}
	return errs
}

// problemWithCertificates says why a text is not a list of certificates, PEM. It does not quote the text. Server names whose certificate they sign.
func problemWithCertificates(text []byte, server string) string {
	cure := "write the certificates of the authorities that sign the certificate of " + server + ", each from -----BEGIN CERTIFICATE----- to " +
		"-----END CERTIFICATE-----"
	count := 0
	block, rest := pem.Decode(text)
	for ; block != nil; block, rest = pem.Decode(rest) {
		count++
		if block.Type != "CERTIFICATE" {
			return fmt.Sprintf("PEM block %d is not a certificate: %s", count, cure)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Sprintf("certificate %d cannot be parsed: %s", count, cure)
		}
	}
	switch {
	case count == 0:
		return "contains no certificate in PEM: " + cure
	case len(bytes.TrimSpace(rest)) > 0:
		return fmt.Sprintf("contains more than the %d certificates in PEM: %s", count, cure)
	}
	return ""
}
