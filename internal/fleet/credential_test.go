package fleet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

var (
	begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	hour  = Lifetime{NotBefore: begin, NotAfter: begin.Add(time.Hour)}
)

// jwt is a token with claims. Its signature is none.
func jwt(claims string) string {
	return "eyJhbGciOiJSUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

func jwtOf(l Lifetime) string {
	return jwt(fmt.Sprintf(`{"iss":"https://kubernetes","iat":%d,"exp":%d}`, l.NotBefore.Unix(), l.NotAfter.Unix()))
}

// certificateOf is a self-signed certificate, PEM, with its key.
func certificateOf(t *testing.T, l Lifetime) (text, keyText []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: l.NotBefore, NotAfter: l.NotAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

func TestLifetimeOf(t *testing.T) {
	day, minute := Lifetime{begin, begin.Add(24 * time.Hour)}, Lifetime{begin, begin.Add(time.Minute)}
	dayText, _ := certificateOf(t, day)
	minuteText, _ := certificateOf(t, minute)
	endless, _ := certificateOf(t, Lifetime{begin, lastDate})
	config := func(token string, certificate []byte) *rest.Config {
		return &rest.Config{BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CertData: certificate}}
	}
	cases := map[string]struct {
		config *rest.Config
		want   Lifetime
	}{
		"a token of an hour":                      {config(jwtOf(hour), nil), hour},
		"a token with parts of seconds":           {config(jwt(fmt.Sprintf(`{"iat":%d.5,"exp":%d.9}`, hour.NotBefore.Unix(), hour.NotAfter.Unix())), nil), hour},
		"a token that does not contain its start": {config(jwt(fmt.Sprintf(`{"exp":%d}`, hour.NotAfter.Unix())), nil), Lifetime{NotAfter: hour.NotAfter}},
		"a token of a Secret, which has no end":   {config(jwt(`{"iss":"kubernetes/serviceaccount"}`), nil), Lifetime{}},
		"a token with an end that no date has":    {config(jwt(`{"exp":1e300}`), nil), Lifetime{}},
		"a token with an end that is no number":   {config(jwt(`{"exp":"soon"}`), nil), Lifetime{}},
		"a token that is no JWT":                  {config("0123456789abcdef", nil), Lifetime{}},
		"a token whose payload is no base64":      {config("a.!!!.c", nil), Lifetime{}},
		"a client certificate":                    {config("", dayText), day},
		"a certificate signed by a shorter one":   {config("", slices.Concat(dayText, minuteText)), minute},
		"a certificate without an end":            {config("", endless), Lifetime{}},
		"both: the token ends first":              {config(jwtOf(hour), dayText), hour},
		"both: the certificate ends first":        {config(jwtOf(hour), minuteText), minute},
		"neither":                                 {config("", nil), Lifetime{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := lifetimeOf(c.config); !got.NotBefore.Equal(c.want.NotBefore) || !got.NotAfter.Equal(c.want.NotAfter) {
				t.Errorf("lifetime is %+v, want %+v", got, c.want)
			}
		})
	}
}

// TestStateHasTheLifetime wants the lifetime of the credential that is in use, also while the API server refuses it.
func TestStateHasTheLifetime(t *testing.T) {
	old, renewed := jwtOf(hour), jwtOf(Lifetime{begin, begin.Add(2 * time.Hour)})
	server := newAPIServer(t, old)
	p := start(t, Options{}, &engagements{})
	ensure(t, p, east, server.source(old))
	if got := waitFor(t, p, east, Connected, meshv1alpha1.ReasonConnected); got.Credential != hour {
		t.Errorf("lifetime is %+v, want %+v", got.Credential, hour)
	}
	ensure(t, p, east, server.source(renewed))
	got := waitFor(t, p, east, Down, meshv1alpha1.ReasonUnauthorized)
	if want := begin.Add(2 * time.Hour); !got.Credential.NotAfter.Equal(want) {
		t.Errorf("the credential that is refused ends %s, want %s", got.Credential.NotAfter, want)
	}
}

// TestStateHasTheWay wants what peers need to know beside the URL: the name in the certificate, and that there is a proxy.
func TestStateHasTheWay(t *testing.T) {
	api := newAPIServer(t, "good")
	for name, c := range map[string]struct {
		edit        func(*clientcmdapi.Cluster)
		wantName    string
		wantProxied bool
	}{
		"directly":       {edit: func(*clientcmdapi.Cluster) {}},
		"another name":   {edit: func(c *clientcmdapi.Cluster) { c.TLSServerName = "kubernetes" }, wantName: "kubernetes"},
		"behind a proxy": {edit: func(c *clientcmdapi.Cluster) { c.ProxyURL = "http://proxy:3128" }, wantProxied: true},
	} {
		t.Run(name, func(t *testing.T) {
			target, err := Options{}.resolve(Source{Kubeconfig: api.kubeconfig("good", func(k *clientcmdapi.Config) { c.edit(k.Clusters["c"]) })})
			if err != nil {
				t.Fatal(err)
			}
			if got := connecting(target); got.ServerName != c.wantName || got.Proxied != c.wantProxied {
				t.Errorf("server name %q, proxied %v, want %q, %v", got.ServerName, got.Proxied, c.wantName, c.wantProxied)
			}
		})
	}
}

// TestAnotherServerName wants another name in the certificate to be taken for another server: one address may lead to several.
func TestAnotherServerName(t *testing.T) {
	api := newAPIServer(t, "good")
	of := func(name string) *target {
		out, err := Options{}.resolve(Source{Kubeconfig: api.kubeconfig("good", func(k *clientcmdapi.Config) { k.Clusters["c"].TLSServerName = name })})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if !of("a").sameServer(of("a")) || of("a").sameServer(of("b")) || of("").sameServer(of("b")) {
		t.Error("servers are not told apart by their names")
	}
}
