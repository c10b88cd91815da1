package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// outcome is what became of one request.
type outcome struct {
	at       time.Time
	duration time.Duration
	status   int    // 0 without an answer
	cluster  string // that served it; "" if the answer does not say
	body     string
	err      error // nil if there was an answer, whatever its status
}

func (o outcome) isOK() bool { return o.err == nil && o.status < 400 }

// maxBody is how much of an answer is kept; echo's are far smaller.
const maxBody = 64 << 10

// requester sends the requests of one order through its own connections, so
// that two runs do not share their fate.
type requester struct {
	order  order
	client *http.Client
}

func newRequester(o order) *requester {
	return &requester{order: o, client: &http.Client{
		Timeout: time.Duration(o.Timeout),
		Transport: &http.Transport{
			DisableKeepAlives:   o.NewConnection,
			MaxIdleConnsPerHost: 1000,
			DialContext:         (&net.Dialer{Timeout: time.Duration(o.Timeout)}).DialContext,
		},
		// A redirect is an answer like any other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (q *requester) close() { q.client.CloseIdleConnections() }

func (q *requester) do(ctx context.Context) outcome {
	o := outcome{at: time.Now()}
	o.err = q.send(ctx, &o)
	o.duration = time.Since(o.at)
	return o
}

func (q *requester) send(ctx context.Context, o *outcome) error {
	// Go repeats a request without a body when a kept connection turns out to be
	// closed, and tells nobody. A body that it cannot rewind, empty here, prevents
	// that: such a failure has to be counted.
	body := io.NopCloser(strings.NewReader(q.order.Body))
	req, err := http.NewRequestWithContext(ctx, q.order.Method, q.order.URL, body)
	if err != nil {
		return err
	}
	if q.order.Body != "" {
		req.ContentLength = int64(len(q.order.Body))
	}
	for name, value := range q.order.Headers {
		req.Header.Set(name, value)
		if strings.EqualFold(name, "Host") {
			req.Host = value
		}
	}
	resp, err := q.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	o.status, o.body = resp.StatusCode, string(content)
	o.cluster = servingCluster(content)
	return nil
}

// servingCluster reads the cluster from echo's answer.
func servingCluster(body []byte) string {
	var answer struct {
		Cluster string `json:"cluster"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return "" // of a proxy, or of another server
	}
	return answer.Cluster
}

// errSaturated marks a request that was due but not sent.
var errSaturated = errors.New("not sent: as many requests as allowed are in flight")

// kind names the class of a failure, or is "" for success. It separates what
// looks alike to the user but has different causes: a refused connection is a
// missing endpoint, a reset one is a proxy that went away with requests in it.
func (o outcome) kind() string {
	var netErr net.Error
	var dnsErr *net.DNSError
	switch {
	case o.isOK():
		return ""
	case o.err == nil && o.status >= 500:
		return "5xx"
	case o.err == nil:
		return "4xx"
	case errors.Is(o.err, errSaturated):
		return "saturated"
	case errors.Is(o.err, context.Canceled):
		return "canceled"
	case errors.As(o.err, &dnsErr):
		return "dns"
	case errors.Is(o.err, context.DeadlineExceeded), errors.As(o.err, &netErr) && netErr.Timeout():
		return "timeout"
	case errors.Is(o.err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(o.err, syscall.ECONNRESET), errors.Is(o.err, syscall.EPIPE):
		return "reset"
	case errors.Is(o.err, syscall.EHOSTUNREACH), errors.Is(o.err, syscall.ENETUNREACH):
		return "unreachable"
	case errors.Is(o.err, io.EOF), errors.Is(o.err, io.ErrUnexpectedEOF), closedByPeer(o.err):
		return "eof"
	}
	return "other"
}

// closedByPeer recognises an error of net/http that it does not export: the
// server closed a kept connection before or while the request was written.
func closedByPeer(err error) bool {
	text := err.Error()
	return strings.Contains(text, "server closed idle connection") || strings.Contains(text, "transport connection broken")
}
