package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestKind(t *testing.T) {
	dial := func(err error) error {
		return &url.Error{Op: "Get", URL: "http://echo", Err: &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", err)}}
	}
	tests := map[string]struct {
		outcome outcome
		want    string
	}{
		"success":                      {outcome{status: 200}, ""},
		"a redirect is an answer":      {outcome{status: 302}, ""},
		"client error":                 {outcome{status: 404}, "4xx"},
		"server error":                 {outcome{status: 503}, "5xx"},
		"refused":                      {outcome{err: dial(syscall.ECONNREFUSED)}, "refused"},
		"reset":                        {outcome{err: dial(syscall.ECONNRESET)}, "reset"},
		"broken pipe":                  {outcome{err: dial(syscall.EPIPE)}, "reset"},
		"no route":                     {outcome{err: dial(syscall.EHOSTUNREACH)}, "unreachable"},
		"dial timeout":                 {outcome{err: dial(syscall.ETIMEDOUT)}, "timeout"},
		"deadline":                     {outcome{err: fmt.Errorf("get: %w", context.DeadlineExceeded)}, "timeout"},
		"unknown name":                 {outcome{err: &net.DNSError{Err: "no such host", IsNotFound: true}}, "dns"},
		"name server that is silent":   {outcome{err: &net.DNSError{Err: "timeout", IsTimeout: true}}, "dns"},
		"end of stream":                {outcome{err: fmt.Errorf("get: %w", io.EOF)}, "eof"},
		"answer cut short":             {outcome{err: fmt.Errorf("read: %w", io.ErrUnexpectedEOF)}, "eof"},
		"idle connection was closed":   {outcome{err: errors.New("http: server closed idle connection")}, "eof"},
		"run was ended":                {outcome{err: context.Canceled}, "canceled"},
		"not sent":                     {outcome{err: errSaturated}, "saturated"},
		"whatever nobody thought of":   {outcome{err: errors.New("odd")}, "other"},
		"answer after a broken header": {outcome{err: errors.New("net/http: HTTP/1.x transport connection broken: malformed")}, "eof"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.outcome.kind(); got != tc.want {
				t.Errorf("kind() = %q, want %q", got, tc.want)
			}
		})
	}
}

// hangUp ends a connection in good order. With something unread the kernel would reset it instead.
func hangUp(c net.Conn) {
	_ = c.(*net.TCPConn).CloseWrite()
	_, _ = io.Copy(io.Discard, c)
	_ = c.Close()
}

// The classes above, as a real connection makes them.
func TestRequestFailures(t *testing.T) {
	tests := map[string]struct {
		serve func(net.Conn)
		want  string
	}{
		"server closes without an answer": {hangUp, "eof"},
		"server resets": {func(c net.Conn) {
			_ = c.(*net.TCPConn).SetLinger(0)
			_, _ = c.Read(make([]byte, 1))
			_ = c.Close()
		}, "reset"},
		"server is silent": {func(c net.Conn) { time.Sleep(time.Second); _ = c.Close() }, "timeout"},
		"server cuts the body": {func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1000))
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
			hangUp(c)
		}, "eof"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			go func() {
				for {
					c, err := listener.Accept()
					if err != nil {
						return
					}
					go tc.serve(c)
				}
			}()
			o := newRequester(testOrder(t, "http://"+listener.Addr().String())).do(t.Context())
			if got := o.kind(); got != tc.want {
				t.Errorf("kind() = %q, want %q: %v", got, tc.want, o.err)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = listener.Close()
		if got := newRequester(testOrder(t, "http://"+listener.Addr().String())).do(t.Context()).kind(); got != "refused" {
			t.Errorf("kind() = %q, want refused", got)
		}
	})
}

func TestRequestIsNotRepeated(t *testing.T) {
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 {
			return
		}
		c, _, err := w.(http.Hijacker).Hijack() // a proxy that dies with a request in it
		if err == nil {
			_ = c.Close()
		}
	}))
	defer server.Close()
	q := newRequester(testOrder(t, server.URL))
	if first := q.do(t.Context()); first.kind() != "" {
		t.Fatalf("first request failed: %v", first.err)
	}
	if second := q.do(t.Context()); second.kind() != "eof" {
		t.Errorf("kind() = %q, want eof: %v", second.kind(), second.err)
	}
	if got := requests.Load(); got != 2 {
		t.Errorf("the server saw %d requests, want 2", got)
	}
}

func TestRequest(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, `{"cluster":"west","saw":"%s %s %s %s %d"}`, r.Method, r.Host, r.Header.Get("X-Test"), body, r.ContentLength)
	}))
	defer server.Close()
	o := testOrder(t, server.URL)
	o.Method, o.Body, o.Headers = http.MethodPost, "hello", map[string]string{"Host": "echo.demo", "X-Test": "yes"}
	got := newRequester(o).do(t.Context())
	if want := `{"cluster":"west","saw":"POST echo.demo yes hello 5"}`; got.body != want || got.cluster != "west" || got.status != 200 {
		t.Errorf("got %+v, want body %s of cluster west", got, want)
	}
}

func testOrder(t *testing.T, url string) order {
	t.Helper()
	o := order{URL: url, Timeout: duration(300 * time.Millisecond)}
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	return o
}
