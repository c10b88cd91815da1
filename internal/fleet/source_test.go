package fleet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

func withCA(ca []byte) func(*clientcmdapi.Config) {
	return func(c *clientcmdapi.Config) { c.Clusters["c"].CertificateAuthorityData = ca }
}

func certificateOfAnotherCA(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestEnsureRefusesWhatCannotBeUsed(t *testing.T) {
	const secret = "s3cret-token"
	user := func(edit func(*clientcmdapi.AuthInfo)) func(*clientcmdapi.Config) {
		return func(c *clientcmdapi.Config) { edit(c.AuthInfos["u"]) }
	}
	server := func(edit func(*clientcmdapi.Cluster)) func(*clientcmdapi.Config) {
		return func(c *clientcmdapi.Config) { edit(c.Clusters["c"]) }
	}
	tests := map[string]struct {
		edit     func(*clientcmdapi.Config)
		wantCure string
	}{
		"no such context":    {func(c *clientcmdapi.Config) { c.CurrentContext = "other" }, "current-context"},
		"no current context": {func(c *clientcmdapi.Config) { c.CurrentContext = "" }, "current-context"},
		"no such cluster":    {func(c *clientcmdapi.Config) { c.Contexts["x"].Cluster = "other" }, `cluster "other"`},
		"no such user":       {func(c *clientcmdapi.Config) { c.Contexts["x"].AuthInfo = "other" }, `user "other"`},
		"exec plugin": {user(func(u *clientcmdapi.AuthInfo) {
			u.Exec = &clientcmdapi.ExecConfig{Command: "aws", APIVersion: "client.authentication.k8s.io/v1"}
		}), "token of a ServiceAccount"},
		"auth provider":    {user(func(u *clientcmdapi.AuthInfo) { u.AuthProvider = &clientcmdapi.AuthProviderConfig{Name: "gcp"} }), "token of a ServiceAccount"},
		"token file":       {user(func(u *clientcmdapi.AuthInfo) { u.TokenFile = "/etc/passwd" }), "set token"},
		"certificate file": {user(func(u *clientcmdapi.AuthInfo) { u.ClientCertificate = "/etc/passwd" }), "client-certificate-data"},
		"key file":         {user(func(u *clientcmdapi.AuthInfo) { u.ClientKey = "/etc/passwd" }), "client-key-data"},
		"no credential":    {user(func(u *clientcmdapi.AuthInfo) { u.Token = "" }), "set token"},
		"key does not parse": {user(func(u *clientcmdapi.AuthInfo) {
			u.ClientCertificateData, u.ClientKeyData = []byte(secret), []byte(secret)
		}), "client-key-data"},
		"CA does not parse":   {server(func(c *clientcmdapi.Cluster) { c.CertificateAuthorityData = []byte("no PEM") }), "certificate-authority-data"},
		"CA file":             {server(func(c *clientcmdapi.Cluster) { c.CertificateAuthority = "/etc/passwd" }), "certificate-authority-data"},
		"TLS is not verified": {server(func(c *clientcmdapi.Cluster) { c.CertificateAuthorityData, c.InsecureSkipTLSVerify = nil, true }), "certificate-authority-data"},
		"plain HTTP":          {server(func(c *clientcmdapi.Cluster) { c.Server = "http://127.0.0.1:6443" }), "https"},
		"password in server":  {server(func(c *clientcmdapi.Cluster) { c.Server = "https://me:" + secret + "@127.0.0.1:6443" }), "client certificate"},
		"no URL as server":    {server(func(c *clientcmdapi.Cluster) { c.Server = "https://[" + secret }), "https"},
		"no URL as proxy":     {server(func(c *clientcmdapi.Cluster) { c.ProxyURL = "http://[" + secret }), "proxy-url"},
	}
	api := newAPIServer(t, secret)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			assertRefused(t, Source{Kubeconfig: api.kubeconfig(secret, test.edit)}, test.wantCure, secret)
		})
	}
	t.Run("no YAML", func(t *testing.T) {
		assertRefused(t, Source{Kubeconfig: []byte("token: " + secret + "\n\t- :")}, "YAML", secret)
	})
	t.Run("another kind", func(t *testing.T) {
		assertRefused(t, Source{Kubeconfig: []byte(`{"apiVersion":"v1","kind":"Secret","data":{"token":"` + secret + `"}}`)}, "kind Config", secret)
	})
	t.Run("empty", func(t *testing.T) { assertRefused(t, Source{}, "kubeconfig", secret) })
	t.Run("both", func(t *testing.T) {
		assertRefused(t, Source{Kubeconfig: api.kubeconfig(secret), Local: true}, "either", secret)
	})
	t.Run("local without a configuration", func(t *testing.T) { assertRefused(t, Source{Local: true}, "own cluster", secret) })
}

func assertRefused(t *testing.T, src Source, wantCure, secret string) {
	t.Helper()
	p := NewProvider(Options{})
	err := p.Ensure(east, src)
	refused, ok := errors.AsType[*SourceError](err)
	if !ok || refused.Reason != meshv1alpha1.ReasonKubeconfigInvalid {
		t.Fatalf("Ensure = %v, want a SourceError with reason KubeconfigInvalid", err)
	}
	if !strings.Contains(refused.Message, wantCure) {
		t.Errorf("message %q does not name %q", refused.Message, wantCure)
	}
	if strings.Contains(err.Error(), secret) {
		t.Errorf("the error reveals the credential: %v", err)
	}
	if _, ok := p.State(east); ok {
		t.Errorf("a source that cannot be used has made a member")
	}
}

func TestSeveralContextsAreFine(t *testing.T) {
	api := newAPIServer(t, "good")
	kubeconfig := api.kubeconfig("good", func(c *clientcmdapi.Config) {
		c.Contexts["other"] = &clientcmdapi.Context{Cluster: "gone", AuthInfo: "gone"}
		c.AuthInfos["unused"] = &clientcmdapi.AuthInfo{Exec: &clientcmdapi.ExecConfig{Command: "aws", APIVersion: "client.authentication.k8s.io/v1"}}
	})
	if err := NewProvider(Options{}).Ensure(east, Source{Kubeconfig: kubeconfig}); err != nil {
		t.Errorf("Ensure: %v", err)
	}
}

func TestScrubRemovesCredentials(t *testing.T) {
	api := newAPIServer(t, "s3cret-token")
	kubeconfig := api.kubeconfig("s3cret-token", func(c *clientcmdapi.Config) { c.Clusters["c"].ProxyURL = "http://me:proxy-password@proxy:3128" })
	target, err := Options{}.resolve(Source{Kubeconfig: kubeconfig})
	if err != nil {
		t.Fatal(err)
	}
	_, message := target.explain(errors.New("strange: s3cret-token via proxy-password"))
	if strings.Contains(message, "s3cret-token") || strings.Contains(message, "proxy-password") {
		t.Errorf("message reveals a credential: %q", message)
	}
	if _, err := clientcmd.Load(kubeconfig); err != nil {
		t.Errorf("the kubeconfig of this test is not one: %v", err)
	}
}
