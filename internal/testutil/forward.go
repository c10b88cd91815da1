package testutil

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
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

const (
	// protocol is the subprotocol of port-forwarding.
	protocol    = "portforward.k8s.io"
	bearerToken = "good"
)

// Cluster is an API server that does nothing but forward ports of pods in the namespace ControlPlane.
type Cluster struct {
	*httptest.Server
	// SPDYOnly refuses WebSocket, as API servers before 1.31 do.
	SPDYOnly bool
	// Silent takes connections and says nothing.
	Silent bool
	// Denied forbids to forward.
	Denied bool
	// Open counts tunnels that are open, Upgrades all that ever were.
	Open, Upgrades atomic.Int64

	ports map[string]string // <pod>:<port> → address that it is forwarded to
}

// NewCluster starts one without pods.
func NewCluster(t *testing.T) *Cluster {
	t.Helper()
	c := &Cluster{ports: map[string]string{}}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(c.serve))
	c.StartTLS()
	t.Cleanup(c.Close)
	return c
}

// Forward leads connections to a port of a pod to an address.
func (c *Cluster) Forward(pod, port, address string) { c.ports[pod+":"+port] = address }

// Listen answers HTTP requests at a port of a pod, by path.
func (c *Cluster) Listen(t *testing.T, pod, port string, answers map[string]string) {
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
	c.Forward(pod, port, server.Listener.Addr().String())
}

// Config is a client's.
func (c *Cluster) Config() *rest.Config {
	cfg := &rest.Config{Host: c.URL, BearerToken: bearerToken}
	cfg.CAData = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate().Raw})
	return cfg
}

func (c *Cluster) serve(w http.ResponseWriter, r *http.Request) {
	isWebSocket := gwebsocket.IsWebSocketUpgrade(r)
	pod, isForward := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/"+ControlPlane+"/pods/")
	pod, isPort := strings.CutSuffix(pod, "/portforward")
	switch {
	case c.Silent:
		<-r.Context().Done()
	case c.Denied:
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
			Status: metav1.StatusFailure, Reason: metav1.StatusReasonForbidden, Code: http.StatusForbidden})
	case r.Header.Get("Authorization") != "Bearer "+bearerToken || !isForward || !isPort:
		http.NotFound(w, r)
	case isWebSocket && c.SPDYOnly:
		http.Error(w, "no WebSocket here", http.StatusBadRequest)
	case isWebSocket:
		upgrader := gwebsocket.Upgrader{Subprotocols: []string{portforwardconst.WebsocketsSPDYTunnelingPrefix + protocol}}
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		forward := c.forward(pod)
		if tunnel, err := spdy.NewServerConnection(portforward.NewTunnelingConnection("server", ws), forward); err == nil {
			c.wait(tunnel)
		}
	default:
		if _, err := httpstream.Handshake(r, w, []string{protocol}); err != nil {
			return
		}
		if tunnel := spdy.NewResponseUpgrader().UpgradeResponse(w, r, c.forward(pod)); tunnel != nil {
			c.wait(tunnel)
		}
	}
}

func (c *Cluster) wait(tunnel httpstream.Connection) {
	c.Upgrades.Add(1)
	c.Open.Add(1)
	defer c.Open.Add(-1)
	<-tunnel.CloseChan()
}

// forward does what a kubelet does with the streams of a tunnel.
func (c *Cluster) forward(pod string) httpstream.NewStreamHandler {
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
				c.pipe(pod, failure, data)
			}()
		}
		return nil
	}
}

func (c *Cluster) pipe(pod string, failure, data httpstream.Stream) {
	defer func() { _ = failure.Close() }()
	port := data.Headers().Get(corev1.PortHeader)
	backend, err := net.Dial("tcp", c.ports[pod+":"+port])
	if err != nil {
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
