package istiod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/streaming/pkg/httpstream"
)

const (
	// protocol is the subprotocol of port-forwarding, over both transports.
	protocol = "portforward.k8s.io"
	// pingPeriod keeps load balancers between us and the API server from dropping quiet connections.
	pingPeriod = 10 * time.Second
	// failureWait is how long the reason of an end may come after the end.
	failureWait = time.Second
	// failureSize bounds that reason.
	failureSize = 4 << 10
)

// Dial connects to a port of a pod. The context bounds the dialling; closing the connection frees all that it uses.
func Dial(ctx context.Context, cfg *rest.Config, namespace, pod string, port int) (net.Conn, error) {
	tunnel, err := openTunnel(ctx, cfg, namespace, pod)
	if err != nil {
		return nil, fmt.Errorf("forward to pod %s/%s: %w", namespace, pod, err)
	}
	type result struct {
		conn net.Conn
		err  error
	}
	// Streams are created without a context. Closing the tunnel makes that end, if not at once.
	done := make(chan result, 1)
	go func() {
		conn, err := openStreams(tunnel, port)
		done <- result{conn, err}
	}()
	select {
	case <-ctx.Done():
		_ = tunnel.Close()
		return nil, fmt.Errorf("forward to port %d of pod %s/%s: %w", port, namespace, pod, ctx.Err())
	case r := <-done:
		if r.err != nil {
			_ = tunnel.Close()
			return nil, fmt.Errorf("forward to port %d of pod %s/%s: %w", port, namespace, pod, r.err)
		}
		return r.conn, nil
	}
}

// openStreams opens the two streams of a forwarded connection: the data, and the reason if it fails.
func openStreams(tunnel httpstream.Connection, port int) (net.Conn, error) {
	headers := http.Header{}
	headers.Set(corev1.PortHeader, strconv.Itoa(port))
	headers.Set(corev1.PortForwardRequestIDHeader, "0")
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	failure, err := tunnel.CreateStream(headers)
	if err != nil {
		return nil, fmt.Errorf("open the error stream: %w", err)
	}
	// Nothing is written to it.
	_ = failure.Close()
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := tunnel.CreateStream(headers)
	if err != nil {
		return nil, fmt.Errorf("open the data stream: %w", err)
	}
	return newConn(tunnel, data, failure), nil
}

// conn is one end of a pipe whose other end is copied to and from the stream. The pipe has the deadlines that streams
// lack.
type conn struct {
	net.Conn
	failure atomic.Pointer[string]
}

func newConn(tunnel httpstream.Connection, data io.ReadWriter, failure io.Reader) *conn {
	ours, theirs := net.Pipe()
	c := &conn{Conn: ours}
	reason := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(io.LimitReader(failure, failureSize))
		reason <- strings.TrimSpace(string(text))
	}()
	go func() {
		_, _ = io.Copy(theirs, data)
		timer := time.NewTimer(failureWait)
		defer timer.Stop()
		select {
		case text := <-reason:
			if text != "" {
				c.failure.Store(&text)
			}
		case <-timer.C:
		}
		_ = theirs.Close()
	}()
	go func() {
		_, _ = io.Copy(data, theirs)
		_ = tunnel.Close()
	}()
	return c
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.explain(err)
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, c.explain(err)
}

// explain says why the connection ended, when the kubelet has told.
func (c *conn) explain(err error) error {
	if text := c.failure.Load(); text != nil && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe)) {
		return fmt.Errorf("the kubelet says: %s", *text)
	}
	return err
}
