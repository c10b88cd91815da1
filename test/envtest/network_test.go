package envtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// egressSelector makes the API server connect to Services through a proxy at a socket.
const egressSelector = `apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: HTTPConnect
    transport:
      uds:
        udsName: %s
`

// network leads every connection that the API server makes to a Service to one server, which plays istiod. It has a
// certificate for whatever name it is called by, signed with the member's cacerts: the API server accepts it only when
// the caBundle of the webhook fits.
type network struct {
	socket  string
	cluster *cluster
	conns   chan net.Conn
	closed  chan struct{}

	mu       sync.Mutex
	reviewed map[string]int
}

func listen(t *testing.T, c *cluster, socket string) (*network, error) {
	n := &network{socket: socket, cluster: c, conns: make(chan net.Conn), closed: make(chan struct{}), reviewed: map[string]int{}}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	proxy := &http.Server{Handler: http.HandlerFunc(n.connect), ReadHeaderTimeout: time.Minute}
	istiod := &http.Server{Handler: http.HandlerFunc(n.review), ReadHeaderTimeout: time.Minute}
	var wg sync.WaitGroup
	wg.Go(func() { _ = proxy.Serve(listener) })
	wg.Go(func() {
		_ = istiod.Serve(tls.NewListener(n, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: n.certificate}))
	})
	t.Cleanup(func() {
		_ = proxy.Close()
		_ = istiod.Close()
		wg.Wait()
	})
	return n, nil
}

// connect answers CONNECT and hands the connection over.
func (n *network) connect(w http.ResponseWriter, r *http.Request) {
	hijacker, ok := w.(http.Hijacker)
	if r.Method != http.MethodConnect || !ok {
		http.Error(w, "only CONNECT", http.StatusMethodNotAllowed)
		return
	}
	conn, _, err := hijacker.Hijack()
	if err != nil {
		return
	}
	if _, err := conn.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n")); err != nil {
		_ = conn.Close()
		return
	}
	select {
	case n.conns <- conn:
	case <-n.closed:
		_ = conn.Close()
	}
}

// Accept, Close and Addr make the network a listener for the server behind the proxy.
func (n *network) Accept() (net.Conn, error) {
	select {
	case conn := <-n.conns:
		return conn, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error {
	close(n.closed)
	return nil
}

func (n *network) Addr() net.Addr { return &net.UnixAddr{Name: n.socket, Net: "unix"} }

// certificate signs one for the name that the client asks for, as istiod signs its own.
func (n *network) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: controlPlaneNamespace, Name: "cacerts"}
	if err := n.cluster.admin.Get(hello.Context(), key, secret); err != nil {
		return nil, err
	}
	ca, err := tls.X509KeyPair(secret.Data["cert-chain.pem"], secret.Data["ca-key.pem"])
	if err != nil {
		return nil, fmt.Errorf("signing certificate of cacerts: %w", err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{hello.ServerName},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca.Leaf, private.Public(), ca.PrivateKey)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: append([][]byte{der}, ca.Certificate...), PrivateKey: private}, nil
}

// review admits everything: whether istiod likes a configuration is not what is tested here.
func (n *network) review(w http.ResponseWriter, r *http.Request) {
	review := admissionv1.AdmissionReview{}
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Request == nil {
		http.Error(w, errors.Join(errors.New("not an AdmissionReview"), err).Error(), http.StatusBadRequest)
		return
	}
	n.mu.Lock()
	n.reviewed[review.Request.Kind.Kind]++
	n.mu.Unlock()
	review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
	review.Request = nil
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review)
}

// reviews says how often istiod was asked about a kind.
func (n *network) reviews(kind string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.reviewed[kind]
}
