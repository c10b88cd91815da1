package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// maxTraffic is how much the servers of one call of Charts may send together, in bytes. Answers are never inflated.
const maxTraffic = 64 << 20

// budget is how many bytes may still be read. Connections share it.
type budget struct{ left atomic.Int64 }

// countedConn takes what it reads from the budget, and fails when that is used up.
type countedConn struct {
	net.Conn
	budget *budget
}

func (c *countedConn) Read(b []byte) (int, error) {
	if c.budget.left.Load() <= 0 {
		return 0, &sizeError{limit: maxTraffic}
	}
	n, err := c.Conn.Read(b)
	c.budget.left.Add(-int64(n))
	return n, err
}

// newTransport returns a transport with the source's certificates and proxy, whose connections share one budget. limit is how long
// there is for all requests: the time to connect is no shorter, so that a message has the right number.
func newTransport(src Source, limit time.Duration) (*http.Transport, error) {
	roots, err := rootsWith(src.CA)
	if err != nil {
		return nil, err
	}
	proxy, err := proxyOf(src.Proxy)
	if err != nil {
		return nil, err
	}
	traffic := &budget{}
	traffic.left.Store(maxTraffic)
	dialer := &net.Dialer{Timeout: limit, Control: refuseLinkLocal}
	return &http.Transport{
		Proxy: proxy,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &countedConn{Conn: conn, budget: traffic}, nil
		},
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
			if answer.StatusCode != http.StatusOK {
				return &proxyError{code: answer.StatusCode}
			}
			return nil
		},
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    limit,
		MaxResponseHeaderBytes: 1 << 20,
		MaxIdleConnsPerHost:    2,
		DisableCompression:     true,
	}, nil
}

// refuseLinkLocal keeps users from reaching the metadata of the hub's node, which has credentials of its cloud. It sees each address after
// names are resolved.
func refuseLinkLocal(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("read the address %q: %w", address, err)
	}
	if a := at.Addr().Unmap(); a.IsLinkLocalUnicast() {
		return fmt.Errorf("%s is a link-local address, which the operator does not connect to", a)
	}
	return nil
}

// rootsWith returns the system's roots and the certificates of a PEM bundle.
func rootsWith(bundle []byte) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, invalid(err, "the certificates of the system cannot be read: check the operator's image")
	}
	if len(bundle) == 0 {
		return roots, nil
	}
	count := 0
	for rest := bundle; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, invalid(nil, "spec.charts.caBundle has a block %q: it must have certificates only", clip(block.Type))
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, invalid(err, "certificate %d of spec.charts.caBundle cannot be read: %s: replace it", count+1, clip(err.Error()))
		}
		roots.AddCert(certificate)
		count++
	}
	if count == 0 {
		return nil, invalid(nil, "spec.charts.caBundle has 0 certificates in %d bytes: set it to certificates in PEM", len(bundle))
	}
	return roots, nil
}

func proxyOf(proxy string) (func(*http.Request) (*url.URL, error), error) {
	if proxy == "" {
		return http.ProxyFromEnvironment, nil
	}
	u, err := url.Parse(proxy)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		// The text of err has the URL, which may have a password.
		return nil, invalid(nil, "spec.charts.proxy is not the URL of an HTTP proxy: use http://host:port")
	}
	return http.ProxyURL(u), nil
}

// secretsOf are the source's secrets, which no message may have.
func secretsOf(src Source) []string {
	var secrets []string
	if src.Password != "" {
		secrets = append(secrets, src.Password, pair(src.Username, src.Password))
	}
	if u, err := url.Parse(src.Proxy); err == nil {
		if password, isSet := u.User.Password(); isSet && password != "" {
			secrets = append(secrets, password, pair(u.User.Username(), password))
		}
	}
	return secrets
}

// pair is how HTTP sends a user and a password.
func pair(username, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(username + ":" + password))
}

// limitOf is how long there is until the deadline of ctx, which Charts has set.
func limitOf(ctx context.Context) time.Duration {
	deadline, _ := ctx.Deadline()
	return max(time.Until(deadline).Round(time.Second), time.Second)
}

// encrypted refuses requests over plain http, which a redirect or a token service may ask for.
type encrypted struct{ base http.RoundTripper }

func (t encrypted) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, &plainError{host: r.URL.Host}
	}
	return t.base.RoundTrip(r)
}

// bound carries the requests of Helm's getter, which knows no context, no limit and no status but as text.
type bound struct {
	base http.RoundTripper
	// ctx is kept here because the getter makes its requests without one.
	ctx context.Context
	// origin is the only server that may see credentials.
	origin *url.URL
	// limit is the size of the largest answer, in bytes.
	limit int64
}

func (t bound) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(t.ctx)
	if r.URL.Scheme != t.origin.Scheme || !strings.EqualFold(r.URL.Host, t.origin.Host) {
		r.Header.Del("Authorization")
		r.Header.Del("Referer")
	}
	answer, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode >= http.StatusBadRequest {
		return nil, errors.Join(&statusError{code: answer.StatusCode}, answer.Body.Close())
	}
	if answer.ContentLength > t.limit {
		return nil, errors.Join(&sizeError{limit: t.limit}, answer.Body.Close())
	}
	answer.Body = &limitedBody{ReadCloser: answer.Body, left: t.limit, limit: t.limit}
	return answer, nil
}

// limitedBody fails when the answer is larger than the limit.
type limitedBody struct {
	io.ReadCloser
	left, limit int64
}

func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, &sizeError{limit: b.limit}
	}
	return n, err
}
