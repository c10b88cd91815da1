package xds

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	gwebsocket "github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	portforwardconst "k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

const forwardPath = "/api/v1/namespaces/istio-system/pods/istiod-0/portforward"

// cluster is an API server with one pod that listens at some ports.
type cluster struct {
	*httptest.Server
	ports    map[string]string // port of the pod → address that it is forwarded to
	spdyOnly bool
	silent   bool // takes connections and says nothing
	denied   bool
	open     atomic.Int64
	upgrades atomic.Int64
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{ports: map[string]string{}}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(c.serve))
	c.StartTLS()
	t.Cleanup(c.Close)
	return c
}

// listen serves the debug endpoints at a port of the pod.
func (c *cluster) listen(t *testing.T, port string, answers map[string]string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	c.ports[port] = server.Listener.Addr().String()
}

func (c *cluster) config() *rest.Config {
	cfg := &rest.Config{Host: c.URL, BearerToken: "good"}
	cfg.CAData = pemOf(c.Certificate())
	return cfg
}

func (c *cluster) serve(w http.ResponseWriter, r *http.Request) {
	isWebSocket := gwebsocket.IsWebSocketUpgrade(r)
	switch {
	case c.silent:
		<-r.Context().Done()
	case c.denied:
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
			Status: metav1.StatusFailure, Reason: metav1.StatusReasonForbidden, Code: http.StatusForbidden})
	case r.Header.Get("Authorization") != "Bearer good" || r.URL.Path != forwardPath:
		http.NotFound(w, r)
	case isWebSocket && c.spdyOnly:
		http.Error(w, "no WebSocket here", http.StatusBadRequest)
	case isWebSocket:
		upgrader := gwebsocket.Upgrader{Subprotocols: []string{portforwardconst.WebsocketsSPDYTunnelingPrefix + protocol}}
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		forward := c.forward()
		if tunnel, err := spdy.NewServerConnection(portforward.NewTunnelingConnection("server", ws), forward); err == nil {
			c.wait(tunnel)
		}
	default:
		if _, err := httpstream.Handshake(r, w, []string{protocol}); err != nil {
			return
		}
		if tunnel := spdy.NewResponseUpgrader().UpgradeResponse(w, r, c.forward()); tunnel != nil {
			c.wait(tunnel)
		}
	}
}

func (c *cluster) wait(tunnel httpstream.Connection) {
	c.upgrades.Add(1)
	c.open.Add(1)
	defer c.open.Add(-1)
	<-tunnel.CloseChan()
}

// forward does what a kubelet does with the streams of a tunnel.
func (c *cluster) forward() httpstream.NewStreamHandler {
	var mu sync.Mutex
	var failure, data httpstream.Stream
	return func(stream httpstream.Stream, replySent <-chan struct{}) error {
		mu.Lock()
		defer mu.Unlock()
		if stream.Headers().Get(corev1.StreamType) == corev1.StreamTypeError {
			failure = stream
		} else {
			data = stream
		}
		if failure != nil && data != nil {
			go func() {
				<-replySent
				c.pipe(failure, data)
			}()
		}
		return nil
	}
}

func (c *cluster) pipe(failure, data httpstream.Stream) {
	defer func() { _ = failure.Close() }()
	port := data.Headers().Get(corev1.PortHeader)
	backend, err := net.Dial("tcp", c.ports[port])
	if c.ports[port] == "" || err != nil {
		_, _ = io.WriteString(failure, "connect to port "+port+": connection refused")
		_ = data.Reset()
		return
	}
	defer func() { _ = backend.Close() }()
	go func() {
		_, _ = io.Copy(backend, data)
		_ = backend.Close()
	}()
	_, _ = io.Copy(data, backend)
	_ = data.Close()
}
