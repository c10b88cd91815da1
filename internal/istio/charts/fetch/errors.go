package fetch

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"

	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// Reason tells errors apart. It is fit for a condition.
type Reason string

// Reasons of errors.
const (
	// NotFound: the source has no such chart, or not in that version.
	NotFound Reason = "ChartNotFound"
	// Unauthorized: the server refuses the credentials, or asks for some.
	Unauthorized Reason = "ChartsUnauthorized"
	// TLS: the server's certificate is not accepted.
	TLS Reason = "ChartsTLS"
	// Unreachable: the server does not answer, or answers that it cannot. Trying again may help.
	Unreachable Reason = "ChartsUnreachable"
	// Invalid: what was asked or what was sent is not usable. Trying again does not help.
	Invalid Reason = "ChartInvalid"
	// Unsigned: the chart has no signature of the key.
	Unsigned Reason = "ChartUnsigned"
)

// Error is what went wrong. Message is for users: subject, fact and cure, without secrets. Err is the cause, or nil.
type Error struct {
	Reason  Reason
	Message string
	Err     error
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// pullSecretCure is the cure for credentials that are missing or refused.
const pullSecretCure = "name a Secret with credentials that may read it in spec.charts.pullSecretRef"

// invalid returns an *Error with the reason Invalid.
func invalid(cause error, format string, args ...any) error {
	return &Error{Reason: Invalid, Message: fmt.Sprintf(format, args...), Err: cause}
}

// statusError is an answer that is not a success.
type statusError struct{ code int }

func (e *statusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("status %d %s", e.code, http.StatusText(e.code)))
}

// proxyError is a proxy that refuses to connect.
type proxyError struct{ code int }

func (e *proxyError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("the proxy answers with status %d %s", e.code, http.StatusText(e.code)))
}

// sizeError is an answer that is larger than its limit, in bytes.
type sizeError struct{ limit int64 }

func (e *sizeError) Error() string { return fmt.Sprintf("the answer is larger than %d bytes", e.limit) }

// plainError is a request that must not be sent because it is not encrypted.
type plainError struct{ host string }

func (e *plainError) Error() string { return fmt.Sprintf("leads to %s over plain http", e.host) }

// server is who is asked. Its failures are told in one way for registries and repositories.
type server struct {
	// name stands at the beginning of messages, without user info and query: `registry host` or `chart repository https://host/path`.
	name string
	// hasCredentials says whether there are some for this server.
	hasCredentials bool
	// hint says why there are no credentials. Empty: the Secret is not named.
	hint string
	// cure is for a server that refuses.
	cure string
	// limit is how long the server has to answer.
	limit time.Duration
	// secrets never appear in a message.
	secrets []string
}

// failure turns the error of a request into an *Error.
func (s server) failure(err error) error {
	var already *Error
	if errors.As(err, &already) {
		return already
	}
	if e := s.tlsFailure(err); e != nil {
		return e
	}
	if e := s.statusFailure(err); e != nil {
		return e
	}
	var size *sizeError
	var plain *plainError
	var dns *net.DNSError
	var op *net.OpError
	var timeout net.Error
	isTimeout := errors.Is(err, context.DeadlineExceeded) || (errors.As(err, &timeout) && timeout.Timeout())
	switch {
	case errors.As(err, &size):
		return &Error{Invalid, fmt.Sprintf("%s: %s: check that it is the right one", s.name, size), size}
	case errors.As(err, &plain):
		return &Error{Invalid, fmt.Sprintf("%s: %s: serve charts over https throughout", s.name, plain), plain}
	case errors.As(err, &dns) && dns.IsNotFound:
		return s.unreachable(fmt.Sprintf("host %q is not known to DNS", dns.Name), "check the name", dns)
	case errors.As(err, &dns):
		return s.unreachable(fmt.Sprintf("host %q cannot be looked up in DNS", dns.Name), "check the name and DNS", dns)
	case isTimeout:
		return s.unreachable(fmt.Sprintf("no answer within %s", s.limit), "check the network and spec.charts.proxy", context.DeadlineExceeded)
	case errors.Is(err, context.Canceled):
		return s.unreachable("the request was cancelled", "try again", context.Canceled)
	case errors.As(err, &op):
		// Not the whole text: it has the port of the own side, which differs each time.
		return s.unreachable(s.clean(op.Op+": "+op.Err.Error()), "check host, port, network and spec.charts.proxy", op.Err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return s.unreachable("the connection was closed before the end of the answer", "check the server", io.ErrUnexpectedEOF)
	}
	// What is quoted is what the server has sent, or a URL.
	text := s.clean(quoted.ReplaceAllString(withoutURL(err).Error(), "…"))
	return s.unreachable(text, "check the server", errors.New(text))
}

// withoutURL removes the wrapping of http.Client, whose text has the URL.
func withoutURL(err error) error {
	var request *url.Error
	if errors.As(err, &request) {
		return request.Err
	}
	return err
}

func (s server) unreachable(fact, cure string, cause error) error {
	return &Error{Unreachable, fmt.Sprintf("%s is unreachable: %s: %s", s.name, fact, cure), cause}
}

// tlsFailure returns nil when the error is not one of TLS.
func (s server) tlsFailure(err error) error {
	const cure = "set spec.charts.caBundle to the certificate of its authority"
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var bad x509.CertificateInvalidError
	var verification *tls.CertificateVerificationError
	var op *net.OpError
	var record tls.RecordHeaderError
	fail := func(cause error, format string, args ...any) error {
		return &Error{TLS, s.name + ": " + fmt.Sprintf(format, args...), cause}
	}
	switch {
	case errors.As(err, &host):
		names := append([]string{}, host.Certificate.DNSNames...)
		for _, ip := range host.Certificate.IPAddresses {
			names = append(names, ip.String())
		}
		return fail(host, "host %q is not among the %d names of the certificate%s: use one of them in the URL, or renew the certificate",
			clip(host.Host), len(names), listed(names))
	case errors.As(err, &unknown):
		issuer := "unknown"
		if unknown.Cert != nil {
			issuer = unknown.Cert.Issuer.String()
		}
		return fail(unknown, "the certificate is of an unknown authority (%s): %s", clip(issuer), cure)
	case errors.As(err, &bad) && bad.Reason == x509.Expired && bad.Cert != nil:
		return fail(bad, "the certificate is valid from %s to %s only: renew it, or set the clock right, or %s",
			bad.Cert.NotBefore.UTC().Format(time.RFC3339), bad.Cert.NotAfter.UTC().Format(time.RFC3339), cure)
	case errors.As(err, &verification):
		return fail(verification.Err, "the certificate is not accepted: %s: renew it, or %s", s.clean(verification.Err.Error()), cure)
	case errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"):
		return fail(op.Err, "%s: %s: check the server's TLS settings", op.Op, s.clean(op.Err.Error()))
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return fail(http.ErrSchemeMismatch, "the server does not speak TLS on this port: use its https port")
	}
	// Other errors of a handshake have no type.
	if err = withoutURL(err); strings.HasPrefix(err.Error(), "tls: ") {
		return fail(err, "%s: check the server's TLS settings", s.clean(err.Error()))
	}
	return nil
}

// statusFailure returns nil when the error is not an answer of the server or of its proxy.
func (s server) statusFailure(err error) error {
	var answer *errcode.ErrorResponse
	var status *statusError
	var proxy *proxyError
	switch {
	case errors.As(err, &proxy):
		return s.unreachable(proxy.Error(), "check spec.charts.proxy", proxy)
	case errors.As(err, &answer):
		// Its text has what the server says: only the number is taken.
		status = &statusError{code: answer.StatusCode}
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
		status = &statusError{code: http.StatusUnauthorized}
	case errors.Is(err, errdef.ErrNotFound):
		status = &statusError{code: http.StatusNotFound}
	case !errors.As(err, &status):
		return nil
	}
	switch status.code {
	case http.StatusUnauthorized, http.StatusForbidden:
		fact := cmp.Or(s.hint, "no credentials were given")
		if s.hasCredentials {
			fact = "the credentials were refused"
		}
		return &Error{Unauthorized, fmt.Sprintf("%s answers with %s, %s: %s", s.name, status, fact, s.cure), status}
	case http.StatusProxyAuthRequired:
		return s.unreachable((&proxyError{status.code}).Error(), "check spec.charts.proxy", status)
	case http.StatusNotFound, http.StatusGone:
		return &Error{NotFound, fmt.Sprintf("%s answers with %s: check the path", s.name, status), status}
	}
	return s.unreachable(status.Error(), "try again, and check the server if this stays", status)
}

var (
	userInfo = regexp.MustCompile(`://[^/\s"@]*@`)
	quoted   = regexp.MustCompile(`"(\\.|[^"\\])*"`)
	query    = regexp.MustCompile(`\?[^\s"]*`)
)

// maxText bounds what an error of a library adds to a message, in bytes.
const maxText = 300

// clean makes the text of an error fit for a message: without URLs' user info and query, secrets and control characters, and short.
func (s server) clean(text string) string {
	for _, secret := range s.secrets {
		text = strings.ReplaceAll(text, secret, "xxxxx")
	}
	return clip(query.ReplaceAllString(userInfo.ReplaceAllString(text, "://"), ""))
}

// clip bounds a text and removes what does not print.
func clip(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(text, " "))
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}

// maxNames is how many names of a certificate a message has.
const maxNames = 5

// listed returns ` (a, b, …)` with at most maxNames of the names.
func listed(names []string) string {
	if len(names) == 0 {
		return ""
	}
	more := ""
	if len(names) > maxNames {
		names, more = names[:maxNames], ", …"
	}
	return " (" + clip(strings.Join(names, ", ")) + more + ")"
}

// display is a URL without user info, query and fragment.
func display(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
