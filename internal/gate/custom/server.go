package custom

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
)

const (
	// answerSize bounds what a server may answer.
	answerSize = 4 << 20
	// defaultTimeout bounds one request.
	defaultTimeout = 5 * time.Second
	tokenKey       = "token"
	caKey          = "ca.crt"
)

// server is what a gate asks.
type server struct {
	*http.Client
	url string
}

// connect makes a client for a server of the user's. Close its idle connections after use.
func connect(ctx context.Context, m *gate.Subject, spec meshv1alpha1.GateServer) (server, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	transport, err := transportTo(spec.URL)
	if err != nil {
		return server{}, err
	}
	transport.TLSClientConfig = config
	sender := &sender{transport: transport}
	if spec.SecretRef != nil {
		secret, err := gateSecret(ctx, m, spec.SecretRef.Name)
		if err != nil {
			return server{}, err
		}
		if sender.token, err = token(secret); err != nil {
			return server{}, err
		}
		if config.RootCAs, err = authorities(secret); err != nil {
			return server{}, err
		}
	}
	return server{url: spec.URL, Client: &http.Client{
		Transport: sender, Timeout: durationOr(spec.Timeout, defaultTimeout),
		// Who is asked is who was named: a token must not travel on.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// gateSecret reads a Secret that was made for gates. Any other one must not be sent anywhere.
func gateSecret(ctx context.Context, m *gate.Subject, name string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	if err := m.Hub.Get(ctx, client.ObjectKey{Namespace: m.Mesh.Namespace, Name: name}, secret); err != nil {
		return nil, fmt.Errorf("read Secret %q: %w", name, err)
	}
	if secret.Type != meshv1alpha1.SecretTypeGate {
		return nil, fmt.Errorf("the Secret %q is of type %q; one that a gate may use is of type %q", name, secret.Type, meshv1alpha1.SecretTypeGate)
	}
	if len(secret.Data[tokenKey]) == 0 && len(secret.Data[caKey]) == 0 {
		return nil, fmt.Errorf("the Secret %q has neither %s nor %s", name, tokenKey, caKey)
	}
	return secret, nil
}

// token is what a header can carry. Tokens in files often end with a line break.
func token(secret *corev1.Secret) (string, error) {
	text := string(secret.Data[tokenKey])
	for len(text) > 0 && (text[len(text)-1] == '\n' || text[len(text)-1] == '\r') {
		text = text[:len(text)-1]
	}
	for _, c := range text {
		if c <= ' ' || c > '~' {
			return "", fmt.Errorf("%s in Secret %q is no bearer token: it has blanks or characters that no token has", tokenKey, secret.Name)
		}
	}
	return text, nil
}

// authorities are nil when the Secret names none: then the system's count.
func authorities(secret *corev1.Secret) (*x509.CertPool, error) {
	bundle := secret.Data[caKey]
	if len(bundle) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bundle) {
		return nil, fmt.Errorf("%s in Secret %q has no certificate", caKey, secret.Name)
	}
	return pool, nil
}

// sender adds the token to requests and bounds what comes back.
type sender struct {
	transport *http.Transport
	token     string
}

func (s *sender) RoundTrip(req *http.Request) (*http.Response, error) {
	if s.token != "" {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, answerSize), resp.Body}
	return resp, nil
}

func (s *sender) CloseIdleConnections() { s.transport.CloseIdleConnections() }

// plain takes the URL out of an error: its query may be secret.
func plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("the server was not reached: %w", u.Err)
	}
	return err
}

func durationOr(d *metav1.Duration, otherwise time.Duration) time.Duration {
	if d == nil || d.Duration <= 0 {
		return otherwise
	}
	return d.Duration
}
