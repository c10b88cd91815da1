package fetch_test

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meshfleet/meshfleet/internal/istio/charts/fetch"
)

func dockerConfig(host, entry string) []byte {
	return fmt.Appendf(nil, `{"auths":{"other.example.com":{"username":"x","password":"y"},%q:%s}}`, host, entry)
}

func TestRegistryCredentials(t *testing.T) {
	base, istiod := packed(t, "base", "1.31.1", 0), packed(t, "istiod", "1.31.1", 0)
	authority := newPKI(t)
	backend := newRegistry()
	open := authority.start(backend)
	push(t, open, "base", "1.31.1", base)
	push(t, open, "istiod", "1.31.1", istiod)
	registry := authority.start(withLogin(backend))
	host := registry.Listener.Addr().String()
	pair := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	plain := fmt.Sprintf(`{"username":%q,"password":%q}`, user, password)

	for name, tc := range map[string]struct {
		source fetch.Source
		reason fetch.Reason
		want   []string
	}{
		"username and password":       {source: fetch.Source{Username: user, Password: password}},
		"docker config with auth":     {source: fetch.Source{DockerConfig: dockerConfig(host, `{"auth":"`+pair+`"}`)}},
		"docker config with username": {source: fetch.Source{DockerConfig: dockerConfig(host, plain)}},
		"docker config with a URL":    {source: fetch.Source{DockerConfig: dockerConfig("https://"+host+"/v1/", plain)}},
		"docker config with the path": {source: fetch.Source{DockerConfig: dockerConfig(host+"/istio", plain)}},
		"docker config with another path": {
			fetch.Source{DockerConfig: dockerConfig(host+"/ist", plain)},
			fetch.Unauthorized, []string{"no entry for " + host},
		},
		"docker config without the host": {
			fetch.Source{DockerConfig: dockerConfig("a.example.com", plain)},
			fetch.Unauthorized, []string{"no entry for " + host},
		},
		"docker config that is no JSON": {fetch.Source{DockerConfig: []byte(password)}, fetch.Invalid, []string{"docker config"}},
		"docker config with bad base64": {
			fetch.Source{DockerConfig: dockerConfig(host, `{"auth":"`+password+`"}`)},
			fetch.Invalid, []string{"base64"},
		},
		"docker config without password": {
			fetch.Source{DockerConfig: dockerConfig(host, `{"username":"reader"}`)},
			fetch.Invalid, []string{"no username and password"},
		},
		"no credentials": {
			fetch.Source{},
			fetch.Unauthorized, []string{"401", "spec.charts.pullSecretRef", "no credentials were given"},
		},
		"wrong credentials":          {fetch.Source{Username: user, Password: "wrong"}, fetch.Unauthorized, []string{"401", "were refused"}},
		"username without password":  {fetch.Source{Username: user}, fetch.Invalid, []string{"only one of"}},
		"two sources":                {fetch.Source{Repository: "https://example.com"}, fetch.Invalid, []string{"2 sources"}},
		"key that is none":           {fetch.Source{Key: []byte("key")}, fetch.Invalid, []string{"cosignPublicKey"}},
		"certificates that are none": {fetch.Source{CA: []byte("certificate")}, fetch.Invalid, []string{"spec.charts.caBundle"}},
		"certificate that is broken": {
			fetch.Source{CA: []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")},
			fetch.Invalid, []string{"certificate 1"},
		},
		"proxy that is none": {fetch.Source{Proxy: "socks://u:" + password + "@h"}, fetch.Invalid, []string{"spec.charts.proxy"}},
		"path with a password": {
			fetch.Source{OCI: "oci://u:" + password + "@" + host + "/istio"},
			fetch.Invalid, []string{"oci://host/path"},
		},
		"path with another scheme": {fetch.Source{OCI: "https://" + host + "/istio"}, fetch.Invalid, []string{"oci://host/path"}},
		"path with a tag":          {fetch.Source{OCI: "oci://" + host + "/istio:1"}, fetch.Invalid, []string{"oci://host/path"}},
		"proxy that refuses":       {fetch.Source{Proxy: "http://u:" + password + "@127.0.0.1:1"}, fetch.Unreachable, []string{"refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			source := tc.source
			if source.OCI == "" {
				source.OCI = ociPath(registry)
			}
			if source.CA == nil {
				source.CA = authority.pem()
			}
			got, err := fetch.Charts(t.Context(), source, "1.31.1", "base", "istiod")
			if tc.reason == "" {
				wantCharts(t, got, err, base, istiod)
				return
			}
			wantError(t, err, tc.reason, tc.want...)
		})
	}
}

// A registry whose token service is asked with the credentials.
func TestRegistryToken(t *testing.T) {
	base, istiod := packed(t, "base", "1.31.1", 0), packed(t, "istiod", "1.31.1", 0)
	authority := newPKI(t)
	backend := newRegistry()
	open := authority.start(backend)
	push(t, open, "base", "1.31.1", base)
	push(t, open, "istiod", "1.31.1", istiod)
	tokens := authority.start(withLogin(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"token":"good"}`)
	})))
	realm := tokens.URL
	registry := authority.start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer good" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`/token",service="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	source := fetch.Source{OCI: ociPath(registry), CA: authority.pem(), Username: user, Password: password}
	got, err := fetch.Charts(t.Context(), source, "1.31.1", "base", "istiod")
	wantCharts(t, got, err, base, istiod)

	source.Password = "wrong"
	_, err = fetch.Charts(t.Context(), source, "1.31.1", "base")
	wantError(t, err, fetch.Unauthorized, "401")

	realm = strings.Replace(tokens.URL, "https://", "http://", 1)
	source.Password = password
	_, err = fetch.Charts(t.Context(), source, "1.31.1", "base")
	wantError(t, err, fetch.Unreachable)
}

func TestRegistryContent(t *testing.T) {
	authority := newPKI(t)
	registry := authority.start(newRegistry())
	for _, version := range []string{"1.29.9", "1.30.5", "1.31.0", "1.31.1", "1.31.3", "1.32.0", "1.33.0-rc.1"} {
		push(t, registry, "base", version, packed(t, "base", version, 0))
	}
	push(t, registry, "base", "1.31.1+build", packed(t, "base", "1.31.1+build", 0))
	push(t, registry, "istiod", "1.31.1", packed(t, "istiod", "1.31.0", 0))
	push(t, registry, "gateway", "1.31.1", packed(t, "base", "1.31.1", 0))
	push(t, registry, "cni", "1.31.1", packed(t, "cni", "1.31.1", 1_100_000))
	sign(t, registry, "image", "sha256:00", "sha256:00", newKey(t))

	for name, tc := range map[string]struct {
		chart, version string
		reason         fetch.Reason
		want           []string
	}{
		"version with build metadata": {chart: "base", version: "1.31.1+build"},
		"missing version, nearest first": {
			"base", "1.31.2",
			fetch.NotFound, []string{`"base"`, "1.31.2", "nearest of 8: 1.31.3, 1.31.1, 1.31.1+build, 1.31.0, 1.32.0: "},
		},
		"missing repository":                {"ztunnel", "1.31.1", fetch.NotFound, []string{`no chart "ztunnel"`}},
		"repository without versions":       {"image", "1.31.1", fetch.NotFound, []string{"without a semantic version"}},
		"another version in its Chart.yaml": {"istiod", "1.31.1", fetch.Invalid, []string{`"istiod" in version "1.31.0"`}},
		"another name in its Chart.yaml":    {"gateway", "1.31.1", fetch.Invalid, []string{`"base" in version`}},
		"too large":                         {"cni", "1.31.1", fetch.Invalid, []string{"more than 1000000"}},
		"version that is none":              {"base", "latest", fetch.Invalid, []string{`"latest"`}},
		"name with a path":                  {"../base", "1.31.1", fetch.Invalid, []string{`"../base"`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := fetch.Charts(t.Context(), fetch.Source{OCI: ociPath(registry) + "/", CA: authority.pem()}, tc.version, tc.chart)
			if tc.reason == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantError(t, err, tc.reason, tc.want...)
		})
	}
}

// What a registry in the middle changes is found, and does not use up memory.
func TestRegistryTampered(t *testing.T) {
	authority := newPKI(t)
	backend := newRegistry()
	open := authority.start(backend)
	push(t, open, "base", "1.31.1", packed(t, "base", "1.31.1", 0))
	record := func(r *http.Request) *httptest.ResponseRecorder {
		answer := httptest.NewRecorder()
		backend.ServeHTTP(answer, r)
		return answer
	}
	for name, tc := range map[string]struct {
		change func(w http.ResponseWriter, r *http.Request) bool
		reason fetch.Reason
		want   []string
	}{
		"other bytes in the layer": {func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/blobs/") {
				return false
			}
			body := record(r).Body.Bytes()
			body[len(body)-1] ^= 1
			_, _ = w.Write(body)
			return true
		}, fetch.Invalid, []string{"other content"}},
		"a layer of petabytes": {func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/manifests/") {
				return false
			}
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			fmt.Fprintf(w, `{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json"},"layers":[{"mediaType":`+
				`"application/vnd.cncf.helm.chart.content.v1.tar+gzip","digest":"sha256:%064d","size":1000000000000000}]}`, 0)
			return true
		}, fetch.Invalid, []string{"1000000000000000"}},
		"a negative size": {func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/manifests/") {
				return false
			}
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			fmt.Fprintf(w, `{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json"},"layers":[{"mediaType":`+
				`"application/vnd.cncf.helm.chart.content.v1.tar+gzip","digest":"../../x","size":-1}]}`)
			return true
		}, fetch.Invalid, []string{"digest"}},
		"tags without end": {func(w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/manifests/") {
				http.NotFound(w, r)
				return true
			}
			w.Header().Set("Link", "<"+r.URL.Path+`?last=a>; rel="next"`)
			fmt.Fprintf(w, `{"name":"base","tags":["1.0.0"%s]}`, strings.Repeat(`,"1.31.0"`, 999))
			return true
		}, fetch.NotFound, []string{"nearest of 2: 1.31.0, 1.0.0: "}},
		"long tags without end": {func(w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/manifests/") {
				http.NotFound(w, r)
				return true
			}
			w.Header().Set("Link", "<"+r.URL.Path+`?last=a>; rel="next"`)
			fmt.Fprintf(w, `{"name":"base","tags":[%q]}`, strings.Repeat("1", 3<<20))
			return true
		}, fetch.NotFound, []string{"cannot be listed (the answer is larger than 67108864 bytes)"}},
		"tags that may not be listed": {func(w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/manifests/") {
				http.NotFound(w, r)
				return true
			}
			http.Error(w, `{"errors":[{"code":"DENIED","message":"body-secret"}]}`, http.StatusForbidden)
			return true
		}, fetch.NotFound, []string{"cannot be listed (status 403 Forbidden)"}},
		"an error with a long body": {func(w http.ResponseWriter, _ *http.Request) bool {
			http.Error(w, `{"errors":[{"code":"UNKNOWN","message":"body-secret `+strings.Repeat("x", 5000)+`"}]}`, http.StatusBadGateway)
			return true
		}, fetch.Unreachable, []string{"502"}},
		"forbidden": {func(w http.ResponseWriter, _ *http.Request) bool {
			http.Error(w, `{"errors":[{"code":"DENIED","message":"body-secret"}]}`, http.StatusForbidden)
			return true
		}, fetch.Unauthorized, []string{"403"}},
		"too many requests": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}, fetch.Unreachable, []string{"429"}},
		"a redirect to plain http": {func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/blobs/") {
				return false
			}
			http.Redirect(w, r, "http://127.0.0.1:1/x?"+token, http.StatusFound)
			return true
		}, fetch.Invalid, []string{"plain http"}},
		"a manifest that is no JSON": {func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/manifests/") {
				return false
			}
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			fmt.Fprint(w, "<html>body-secret")
			return true
		}, fetch.Invalid, []string{"no JSON"}},
		"hangs": {func(_ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		}, fetch.Unreachable, []string{"within 1s"}},
	} {
		t.Run(name, func(t *testing.T) {
			registry := authority.start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !tc.change(w, r) {
					backend.ServeHTTP(w, r)
				}
			}))
			ctx := t.Context()
			if name == "hangs" {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Second)
				defer cancel()
			}
			_, err := fetch.Charts(ctx, fetch.Source{OCI: ociPath(registry), CA: authority.pem(), Username: user, Password: password}, "1.31.1", "base")
			wantError(t, err, tc.reason, tc.want...)
		})
	}
}

func TestSignatures(t *testing.T) {
	key, other := newKey(t), newKey(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	authority := newPKI(t)
	const foreign = "sha256:00000000000000000000000000000000000000000000000000000000000000ff"
	for name, tc := range map[string]struct {
		// key is the key of the source, signers have signed, manifest is what they have signed: empty for the chart's own.
		key      crypto.Signer
		signers  []crypto.Signer
		manifest string
		reason   fetch.Reason
		want     []string
	}{
		"signed":                        {key: key, signers: []crypto.Signer{key}},
		"signed with RSA":               {key: rsaKey, signers: []crypto.Signer{rsaKey}},
		"signed with Ed25519":           {key: edKey, signers: []crypto.Signer{edKey}},
		"signed by another key as well": {key: key, signers: []crypto.Signer{other, rsaKey, key}},
		"not signed": {
			key: key, reason: fetch.Unsigned,
			want: []string{"has no signature by key sha256:", "cosign sign", "spec.charts.verify.cosignPublicKey"},
		},
		"signed by other keys": {
			key: key, signers: []crypto.Signer{other, rsaKey},
			reason: fetch.Unsigned, want: []string{"has 2 signatures, none by key sha256:"},
		},
		"signature of another manifest": {
			key: key, signers: []crypto.Signer{key}, manifest: foreign,
			reason: fetch.Unsigned, want: []string{foreign},
		},
	} {
		t.Run(name, func(t *testing.T) {
			registry := authority.start(newRegistry())
			digest := push(t, registry, "base", "1.31.1", packed(t, "base", "1.31.1", 0))
			if tc.signers != nil {
				sign(t, registry, "base", digest, cmp.Or(tc.manifest, digest), tc.signers...)
			}
			source := fetch.Source{OCI: ociPath(registry), CA: authority.pem(), Key: publicPEM(t, tc.key)}
			_, err := fetch.Charts(t.Context(), source, "1.31.1", "base")
			if tc.reason == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantError(t, err, tc.reason, tc.want...)
		})
	}
}

// The tag moves while a chart is read: what is taken is what the signature is for.
func TestSignatureOfMovedTag(t *testing.T) {
	key := newKey(t)
	authority := newPKI(t)
	backend := newRegistry()
	open := authority.start(backend)
	signed := packed(t, "base", "1.31.1", 0)
	digest := push(t, open, "base", "1.31.1", signed)
	sign(t, open, "base", digest, digest, key)
	registry := authority.start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		backend.ServeHTTP(w, r)
		if strings.HasSuffix(r.URL.Path, "/manifests/1.31.1") {
			push(t, open, "base", "1.31.1", packed(t, "base", "1.31.1", 10))
		}
	}))
	source := fetch.Source{OCI: ociPath(registry), CA: authority.pem(), Key: publicPEM(t, key)}
	got, err := fetch.Charts(t.Context(), source, "1.31.1", "base")
	if err != nil || got[0].Digest != digestOf(signed) {
		t.Fatalf("got %d charts, error %v", len(got), err)
	}
	_, err = fetch.Charts(t.Context(), source, "1.31.1", "base")
	wantError(t, err, fetch.Unsigned, "has no signature")
}

// Credentials of the user that runs the operator are not used.
func TestRegistryForeignCredentials(t *testing.T) {
	authority := newPKI(t)
	registry := authority.start(withLogin(newRegistry()))
	home := t.TempDir()
	config := dockerConfig(registry.Listener.Addr().String(), fmt.Sprintf(`{"username":%q,"password":%q}`, user, password))
	for _, name := range []string{".docker/config.json", ".config/helm/registry/config.json"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(home, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, name), config, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", home)
	t.Setenv("DOCKER_CONFIG", filepath.Join(home, ".docker"))
	_, err := fetch.Charts(t.Context(), fetch.Source{OCI: ociPath(registry), CA: authority.pem()}, "1.31.1", "base")
	wantError(t, err, fetch.Unauthorized, "no credentials were given")
}
