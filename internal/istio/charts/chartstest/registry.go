package chartstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	ociregistry "github.com/google/go-containerregistry/pkg/registry"
	"helm.sh/helm/v3/pkg/registry"

	"github.com/meshfleet/meshfleet/internal/istio/charts/fetch"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// Registry is an OCI registry with TLS in this process.
type Registry struct {
	// Path is where the charts are: oci://<address>/istio/charts.
	Path string
	// CA is the certificate, PEM, of the authority of its own.
	CA string

	server *httptest.Server
	client *registry.Client
}

// Serve starts a registry at an address, until the test ends or Stop is called.
func Serve(t *testing.T, address string) *Registry {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	testutil.Must(t, err)
	host, _, err := net.SplitHostPort(listener.Addr().String())
	testutil.Must(t, err)
	certificate, authority := selfSigned(t, net.ParseIP(host))
	server := httptest.NewUnstartedServer(ociregistry.New(ociregistry.Logger(log.New(io.Discard, "", 0))))
	testutil.Must(t, server.Listener.Close())
	server.Listener = listener
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	client, err := registry.NewClient(registry.ClientOptHTTPClient(server.Client()), registry.ClientOptWriter(io.Discard),
		registry.ClientOptCredentialsFile(filepath.Join(t.TempDir(), "config.json")))
	testutil.Must(t, err)
	return &Registry{Path: "oci://" + listener.Addr().String() + "/istio/charts", CA: authority, server: server, client: client}
}

// Push puts packaged charts into the registry, with the version as the tag. A tag that is there is moved.
func (r *Registry) Push(t *testing.T, archives ...fetch.Archive) {
	t.Helper()
	for _, a := range archives {
		_, err := r.client.Push(a.Data, r.Path[len("oci://"):]+"/"+a.Name+":"+a.Version)
		testutil.Must(t, err)
	}
}

// Stop ends the registry.
func (r *Registry) Stop() { r.server.Close() }

// selfSigned is a certificate for an address that is its own authority.
func selfSigned(t *testing.T, address net.IP) (certificate tls.Certificate, authority string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	testutil.Must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{address}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	testutil.Must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
