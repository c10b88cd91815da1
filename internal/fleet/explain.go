package fleet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// explain says why a call failed, as a condition reason and a message. The message is made of what stays the same
// from one attempt to the next: no ports, no times.
func (t *target) explain(err error) (reason, message string) {
	server := t.config.Host
	if apierrors.IsUnauthorized(err) {
		return meshv1alpha1.ReasonUnauthorized, server + " refuses the credential, which may have expired or been " +
			"revoked: replace the kubeconfig"
	}
	if apierrors.IsForbidden(err) {
		return meshv1alpha1.ReasonPermissionDenied, server + " accepts the credential, but it may not do what the " +
			"operator needs: grant the permissions of config/member-rbac"
	}
	if text, ok := explainCertificate(err); ok {
		return meshv1alpha1.ReasonConnectionDown, fmt.Sprintf("the certificate of %s %s", server, text)
	}
	return meshv1alpha1.ReasonConnectionDown, server + " " + t.scrub(explainNetwork(err))
}

func explainCertificate(err error) (string, bool) {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "is signed by an authority that the kubeconfig does not trust: correct certificate-authority-data", true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "is not valid for that host: correct server, or set tls-server-name", true
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "has expired or is not valid yet: renew it", true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "cannot be verified: check it against certificate-authority-data", true
	}
	return "", false
}

func explainNetwork(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Sprintf("cannot be reached: host %q does not resolve", dns.Name)
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok && !errno.Timeout() {
		return "cannot be reached: " + errno.Error()
	}
	if isTimeout(err) {
		return "does not answer in time"
	}
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		return fmt.Sprintf("answers with HTTP status %d", status.Status().Code)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "closes the connection without an answer"
	}
	return "cannot be used: " + innermost(err).Error()
}

func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || apierrors.IsTimeout(err) {
		return true
	}
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// innermost drops the wrapping, which names addresses and ports.
func innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// scrub is the last line of defence: no known path puts a credential into an error.
func (t *target) scrub(text string) string {
	for _, secret := range t.secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "[redacted]")
		}
	}
	return text
}
