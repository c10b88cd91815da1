package istiod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	portforwardconst "k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/websocket"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// openTunnel prefers WebSocket, which more proxies let through, and falls back to SPDY for API servers before 1.31.
func openTunnel(ctx context.Context, cfg *rest.Config, namespace, pod string) (httpstream.Connection, error) {
	server, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("read the API server's URL: %w", err)
	}
	target := server.JoinPath("api/v1/namespaces", namespace, "pods", pod, "portforward")
	stream, err := dialWebSocket(ctx, cfg, target)
	if httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err) {
		stream, err = dialSPDY(ctx, cfg, target)
	}
	if err != nil {
		return nil, err
	}
	return spdy.NewClientConnectionWithPings(stream, pingPeriod)
}

func dialWebSocket(ctx context.Context, cfg *rest.Config, target *url.URL) (net.Conn, error) {
	transport, holder, err := websocket.RoundTripperFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("make a transport: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	ws, err := websocket.Negotiate(transport, holder, req, portforwardconst.WebsocketsSPDYTunnelingPrefix+protocol)
	if err != nil {
		return nil, err
	}
	return portforward.NewTunnelingConnection("client", ws), nil
}

// dialSPDY upgrades with the standard library's transport, because client-go's ignores the context.
func dialSPDY(ctx context.Context, cfg *rest.Config, target *url.URL) (net.Conn, error) {
	tlsConfig, err := rest.TLSConfigFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("read the TLS configuration: %w", err)
	}
	proxy := cfg.Proxy
	if proxy == nil {
		proxy = http.ProxyFromEnvironment
	}
	// Only HTTP/1.1 can be upgraded.
	http1 := &http.Transport{TLSClientConfig: tlsConfig, Proxy: proxy, Protocols: &http.Protocols{}}
	http1.Protocols.SetHTTP1(true)
	transport, err := rest.HTTPWrappersForConfig(cfg, http1)
	if err != nil {
		return nil, fmt.Errorf("make a transport: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	req.Header.Set(httpstream.HeaderConnection, httpstream.HeaderUpgrade)
	req.Header.Set(httpstream.HeaderUpgrade, spdy.HeaderSpdy31)
	req.Header.Set(httpstream.HeaderProtocolVersion, protocol)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		defer func() { _ = resp.Body.Close() }()
		return nil, refusal(resp)
	}
	stream, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		_ = resp.Body.Close()
		return nil, errors.New("the upgraded connection cannot be written to")
	}
	return upgraded{ReadWriteCloser: stream}, nil
}

// refusal is the API server's Status if it has sent one, so that callers can tell Forbidden from NotFound.
func refusal(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var status metav1.Status
	if err == nil && json.Unmarshal(body, &status) == nil && status.Kind == "Status" {
		return &apierrors.StatusError{ErrStatus: status}
	}
	return fmt.Errorf("the API server answers with HTTP status %d", resp.StatusCode)
}

// upgraded is an upgraded HTTP connection as SPDY wants it. Its deadlines are never used: those of conn are.
type upgraded struct {
	io.ReadWriteCloser
}

func (upgraded) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (upgraded) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (upgraded) SetDeadline(time.Time) error      { return nil }
func (upgraded) SetReadDeadline(time.Time) error  { return nil }
func (upgraded) SetWriteDeadline(time.Time) error { return nil }
