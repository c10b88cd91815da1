package fetch_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	helmregistry "helm.sh/helm/v3/pkg/registry"
	"helm.sh/helm/v3/pkg/repo"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/meshfleet/meshfleet/internal/istio/charts/fetch"
)

const (
	user     = "reader"
	password = "hunter2-secret"
	token    = "query-secret"
)

// packed returns a packaged chart. fill is added as a file that does not compress.
func packed(t *testing.T, name, version string, fill int) []byte {
	t.Helper()
	c := &chart.Chart{
		Metadata:  &chart.Metadata{APIVersion: chart.APIVersionV2, Name: name, Version: version},
		Templates: []*chart.File{{Name: "templates/a.yaml", Data: []byte("kind: ConfigMap\n")}},
	}
	if fill > 0 {
		noise := make([]byte, fill)
		_, _ = rand.Read(noise)
		c.Files = append(c.Files, &chart.File{Name: "noise", Data: noise})
	}
	path, err := chartutil.Save(c, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// pki is an authority of the test.
type pki struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newPKI(t *testing.T) *pki {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &pki{t: t, key: key, cert: cert}
}

func (p *pki) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw})
}

// serve starts a server with a certificate for a host name or, when it is empty, for 127.0.0.1.
func (p *pki) serve(handler http.Handler, host string, notAfter time.Time) *httptest.Server {
	p.t.Helper()
	key := newKey(p.t)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: notAfter}
	if host == "" {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, p.cert, key.Public(), p.key)
	if err != nil {
		p.t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(handler)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	p.t.Cleanup(s.Close)
	return s
}

// start is serve with a good certificate.
func (p *pki) start(handler http.Handler) *httptest.Server {
	return p.serve(handler, "", time.Now().Add(time.Hour))
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func publicPEM(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func newRegistry() http.Handler { return ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))) }

// ociPath is the path of the charts in a test's registry.
func ociPath(s *httptest.Server) string {
	return "oci://" + s.Listener.Addr().String() + "/istio/charts"
}

func repository(t *testing.T, s *httptest.Server, name string) *remote.Repository {
	t.Helper()
	r, err := remote.NewRepository(s.Listener.Addr().String() + "/istio/charts/" + name)
	if err != nil {
		t.Fatal(err)
	}
	r.Client = s.Client()
	r.Client.(*http.Client).Transport.(*http.Transport).TLSClientConfig.InsecureSkipVerify = true
	return r
}

// push puts a chart into a registry with Helm's client, and returns the digest of its manifest.
func push(t *testing.T, s *httptest.Server, name, version string, data []byte) string {
	t.Helper()
	repository(t, s, name) // prepares the client of s
	client, err := helmregistry.NewClient(helmregistry.ClientOptHTTPClient(s.Client()), helmregistry.ClientOptWriter(io.Discard),
		helmregistry.ClientOptCredentialsFile(filepath.Join(t.TempDir(), "config.json")))
	if err != nil {
		t.Fatal(err)
	}
	ref := fmt.Sprintf("%s/istio/charts/%s:%s", s.Listener.Addr(), name, version)
	result, err := client.Push(data, ref, helmregistry.PushOptStrictMode(false))
	if err != nil {
		t.Fatal(err)
	}
	return result.Manifest.Digest
}

// sign puts a signature beside a manifest, in the layout of cosign. It is a signature for the manifest signed.
func sign(t *testing.T, s *httptest.Server, name, digest, signed string, keys ...crypto.Signer) {
	t.Helper()
	r := repository(t, s, name)
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	pushBlob := func(mediaType string, data []byte) ocispec.Descriptor {
		d := content.NewDescriptorFromBytes(mediaType, data)
		if err := r.Push(context.Background(), d, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		return d
	}
	manifest.Config = pushBlob(ocispec.MediaTypeImageConfig, []byte("{}"))
	for i, key := range keys {
		payload := fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":"r"},"image":{"docker-manifest-digest":%q},`+
			`"type":"cosign container image signature"},"optional":{"n":%d}}`, signed, i)
		sum := sha256.Sum256(payload)
		message, hash := sum[:], crypto.SHA256
		if _, isWhole := key.(ed25519.PrivateKey); isWhole {
			message, hash = payload, crypto.Hash(0)
		}
		raw, err := key.Sign(rand.Reader, message, hash)
		if err != nil {
			t.Fatal(err)
		}
		layer := pushBlob("application/vnd.dev.cosign.simplesigning.v1+json", payload)
		layer.Annotations = map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(raw)}
		manifest.Layers = append(manifest.Layers, layer)
	}
	data, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	tag := strings.Replace(digest, ":", "-", 1) + ".sig"
	if _, err := oras.TagBytes(context.Background(), r, ocispec.MediaTypeImageManifest, data, tag); err != nil {
		t.Fatal(err)
	}
}

// repositoryOf serves charts with an index that Helm has made.
func repositoryOf(t *testing.T, charts map[string][]byte) http.Handler {
	t.Helper()
	dir := t.TempDir()
	for name, data := range charts {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	index, err := repo.IndexDirectory(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := index.WriteFile(filepath.Join(dir, "index.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	return http.FileServer(http.Dir(dir))
}

// withLogin asks for the user and the password of the test.
func withLogin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"body-secret"}]}`, http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// wantError asserts the reason and parts of the message, and that no error has a secret.
func wantError(t *testing.T, err error, reason fetch.Reason, parts ...string) {
	t.Helper()
	var e *fetch.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v is no *fetch.Error", err)
	}
	t.Log(e.Message)
	if e.Reason != reason {
		t.Errorf("reason %s, want %s: %s", e.Reason, reason, e.Message)
	}
	for _, part := range parts {
		if !strings.Contains(e.Message, part) {
			t.Errorf("message %q has no %q", e.Message, part)
		}
	}
	for cause := err; cause != nil; cause = errors.Unwrap(cause) {
		login := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
		for _, secret := range []string{password, token, "body-secret", login} {
			if strings.Contains(cause.Error(), secret) {
				t.Errorf("error %q has the secret %q", cause, secret)
			}
		}
	}
	if len(e.Message) > 1000 {
		t.Errorf("message has %d bytes: %s", len(e.Message), e.Message)
	}
}

// wantCharts asserts that exactly the charts of 1.31.1 are there, in the order base, istiod.
func wantCharts(t *testing.T, got []fetch.Archive, err error, base, istiod []byte) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 {
		t.Fatalf("%d charts, want 2", len(got))
	}
	for i, want := range []fetch.Archive{
		{Name: "base", Version: "1.31.1", Digest: digestOf(base), Data: base},
		{Name: "istiod", Version: "1.31.1", Digest: digestOf(istiod), Data: istiod},
	} {
		if diff := cmp.Diff(want, got[i]); diff != "" {
			t.Errorf("chart %d (-want +got):\n%s", i, diff)
		}
	}
}
