package fetch_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshfleet/meshfleet/internal/istio/charts/fetch"
)

// indexOf is an index with one chart.
func indexOf(chartURL, digest string) string {
	return fmt.Sprintf("apiVersion: v1\nentries:\n  base:\n  - {name: base, version: 1.31.1, urls: [%q], digest: %q}\n", chartURL, digest)
}

func TestRepository(t *testing.T) {
	base := packed(t, "base", "1.31.1", 0)
	large := packed(t, "base", "1.31.1", 1_100_000)
	other := packed(t, "istiod", "1.31.1", 0)
	serve := func(index string, chart []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/charts/index.yaml":
				fmt.Fprint(w, index)
			case "/charts/base.tgz":
				_, _ = w.Write(chart)
			default:
				http.Error(w, "body-secret", http.StatusNotFound)
			}
		}
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "body-secret", code) }
	}
	authority := newPKI(t)
	for name, tc := range map[string]struct {
		handler http.Handler
		reason  fetch.Reason
		want    []string
	}{
		"found":                     {handler: serve(indexOf("base.tgz", digestOf(base)[7:]), base)},
		"digest with its algorithm": {handler: serve(indexOf("base.tgz", digestOf(base)), base)},
		"no digest in the index":    {handler: serve(indexOf("base.tgz", ""), base)},
		"login":                     {handler: withLogin(serve(indexOf("base.tgz", ""), base))},
		"moved content":             {serve(indexOf("base.tgz", digestOf(base)), other), fetch.Invalid, []string{digestOf(other), digestOf(base)}},
		"another chart":             {serve(indexOf("base.tgz", ""), other), fetch.Invalid, []string{`"istiod"`}},
		"too large":                 {serve(indexOf("base.tgz", ""), large), fetch.Invalid, []string{"more than 1000000 bytes"}},
		"not a chart":               {serve(indexOf("base.tgz", ""), []byte("body-secret")), fetch.Invalid, []string{"not a usable chart"}},
		"chart that is not there":   {serve(indexOf("gone.tgz", ""), base), fetch.NotFound, []string{"404", "gone.tgz"}},
		"no URL":                    {serve(strings.Replace(indexOf("", ""), `[""]`, "[]", 1), base), fetch.Invalid, []string{"0 URLs"}},
		"URL of a file":             {serve(indexOf("file:///etc/passwd", ""), base), fetch.Invalid, []string{"not https or http"}},
		"URL over plain http":       {serve(indexOf("http://127.0.0.1:1/base.tgz?"+token, ""), base), fetch.Invalid, []string{"plain http"}},
		"index that is no YAML":     {serve("\tbody: [", nil), fetch.Invalid, []string{"cannot be read"}},
		"page instead of an index":  {serve("title: welcome", nil), fetch.Invalid, []string{"apiVersion"}},
		"empty index":               {serve("", nil), fetch.Invalid, []string{"0 bytes"}},
		"null entries":              {serve("apiVersion: v1\nentries: {base: [null, {version: \"1\"}]}", nil), fetch.NotFound, nil},
		"no index":                  {status(http.StatusNotFound), fetch.NotFound, []string{"404", "check the path"}},
		"unauthorized":              {status(http.StatusUnauthorized), fetch.Unauthorized, []string{"401", "spec.charts.pullSecretRef"}},
		"forbidden":                 {status(http.StatusForbidden), fetch.Unauthorized, []string{"403"}},
		"unavailable":               {status(http.StatusServiceUnavailable), fetch.Unreachable, []string{"503"}},
		"redirects without end": {
			http.RedirectHandler("/charts/index.yaml?"+token, http.StatusFound),
			fetch.Unreachable, []string{"10 redirects"},
		},
		"redirect to plain http": {http.RedirectHandler("http://127.0.0.1:1/?"+token, http.StatusFound), fetch.Invalid, []string{"plain http"}},
		"index without end":      {endless(false), fetch.Invalid, []string{"larger than 8388608 bytes"}},
		"header without end":     {endless(true), fetch.Unreachable, nil},
		"credentials sent back": {http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = conn.Write([]byte(r.Header.Get("Authorization") + " body-secret\r\n\r\n"))
		}), fetch.Unreachable, []string{"malformed HTTP"}},
		"connection that breaks off": {
			http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
			fetch.Unreachable, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := authority.start(tc.handler)
			source := fetch.Source{Repository: server.URL + "/charts?token=" + token, CA: authority.pem(), Username: user, Password: password}
			got, err := fetch.Charts(t.Context(), source, "1.31.1", "base")
			if tc.reason != "" {
				wantError(t, err, tc.reason, tc.want...)
				return
			}
			if err != nil || !bytes.Equal(got[0].Data, base) {
				t.Fatalf("got %d charts, error %v", len(got), err)
			}
		})
	}
}

// endless answers without end, in the body or in the header.
func endless(inHeader bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		chunk := bytes.Repeat([]byte("# a comment\n"), 10_000)
		if !inHeader {
			for {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\n"))
		for {
			if _, err := conn.Write([]byte("X-Long: " + strings.Repeat("x", 10_000) + "\r\n")); err != nil {
				return
			}
		}
	}
}

func TestRepositoryNearest(t *testing.T) {
	server := httptest.NewServer(repositoryOf(t, map[string][]byte{
		"a.tgz": packed(t, "base", "1.31.0", 0), "b.tgz": packed(t, "base", "1.30.2", 0), "c.tgz": packed(t, "base", "1.31.4", 0),
	}))
	defer server.Close()
	_, err := fetch.Charts(t.Context(), fetch.Source{Repository: server.URL}, "1.31.1", "base")
	wantError(t, err, fetch.NotFound, "nearest of 3: 1.31.0, 1.31.4, 1.30.2: ", server.URL)
	_, err = fetch.Charts(t.Context(), fetch.Source{Repository: server.URL}, "1.31.1", "istiod")
	wantError(t, err, fetch.NotFound, `no chart "istiod"`)
}

// Credentials stay with the server that they are for.
func TestRepositoryOtherServer(t *testing.T) {
	base := packed(t, "base", "1.31.1", 0)
	authority := newPKI(t)
	var asked, leaked atomic.Int64
	other := authority.start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("Authorization") != "" || strings.Contains(r.Header.Get("Referer"), token) {
			leaked.Add(1)
		}
		switch r.URL.Path {
		case "/base.tgz":
			_, _ = w.Write(base)
		case "/private.tgz":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			fmt.Fprint(w, indexOf(r.URL.Query().Get("chart"), ""))
		}
	}))
	for name, tc := range map[string]struct {
		index  func(w http.ResponseWriter, r *http.Request)
		reason fetch.Reason
		want   []string
	}{
		"the index names another server": {index: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, indexOf(other.URL+"/base.tgz", "")) }},
		"the index is elsewhere": {index: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/index.yaml?chart=base.tgz", http.StatusFound)
		}},
		"the other server asks for credentials": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, indexOf(other.URL+"/private.tgz", ""))
		}, fetch.Unauthorized, []string{"server " + other.URL, "not sent to other servers"}},
	} {
		t.Run(name, func(t *testing.T) {
			asked.Store(0)
			server := authority.start(withLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, ".tgz") {
					http.Redirect(w, r, other.URL+"/base.tgz", http.StatusFound)
					return
				}
				tc.index(w, r)
			})))
			source := fetch.Source{Repository: server.URL + "?token=" + token, CA: authority.pem(), Username: user, Password: password}
			_, err := fetch.Charts(t.Context(), source, "1.31.1", "base")
			if tc.reason != "" {
				wantError(t, err, tc.reason, tc.want...)
			} else if err != nil {
				t.Fatal(err)
			}
			if asked.Load() == 0 || leaked.Load() > 0 {
				t.Errorf("the other server was asked %d times, %d times with secrets", asked.Load(), leaked.Load())
			}
		})
	}
}

func TestCertificates(t *testing.T) {
	base := packed(t, "base", "1.31.1", 0)
	authority, stranger := newPKI(t), newPKI(t)
	handler := repositoryOf(t, map[string][]byte{"base-1.31.1.tgz": base})
	good := authority.start(handler)
	elsewhere := authority.serve(handler, "charts.example.com", time.Now().Add(time.Hour))
	old := authority.serve(handler, "", time.Now().Add(-time.Hour))
	plain := httptest.NewServer(handler)
	defer plain.Close()
	obsolete := httptest.NewUnstartedServer(handler)
	obsolete.TLS = &tls.Config{MaxVersion: tls.VersionTLS11}
	obsolete.Config.ErrorLog = log.New(io.Discard, "", 0)
	obsolete.StartTLS()
	defer obsolete.Close()
	for name, tc := range map[string]struct {
		url  string
		ca   []byte
		want []string
	}{
		"no CA":                  {good.URL, nil, []string{"unknown authority", "spec.charts.caBundle"}},
		"wrong CA":               {good.URL, stranger.pem(), []string{"unknown authority", "spec.charts.caBundle"}},
		"wrong host name":        {elsewhere.URL, authority.pem(), []string{`host "127.0.0.1" is not among the 1 names`, "charts.example.com"}},
		"expired":                {old.URL, authority.pem(), []string{"valid from", "renew it", "spec.charts.caBundle"}},
		"obsolete TLS":           {obsolete.URL, nil, []string{"protocol version"}},
		"a server of plain http": {strings.Replace(plain.URL, "http://", "https://", 1), nil, []string{"does not speak TLS"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := fetch.Charts(t.Context(), fetch.Source{Repository: tc.url, CA: tc.ca}, "1.31.1", "base")
			wantError(t, err, fetch.TLS, tc.want...)
			_, err = fetch.Charts(t.Context(), fetch.Source{OCI: strings.Replace(tc.url, "https://", "oci://", 1) + "/istio", CA: tc.ca}, "1.31.1", "base")
			wantError(t, err, fetch.TLS, tc.want...)
		})
	}
	both := fetch.Source{Repository: good.URL, CA: append(stranger.pem(), authority.pem()...)}
	if _, err := fetch.Charts(t.Context(), both, "1.31.1", "base"); err != nil {
		t.Error(err)
	}
}

func TestUnreachable(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	stop := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-stop:
		}
	}))
	defer hanging.Close()
	defer close(stop)
	for name, tc := range map[string]struct {
		source fetch.Source
		reason fetch.Reason
		want   []string
	}{
		"refused":          {fetch.Source{Repository: closed.URL}, fetch.Unreachable, []string{"connection refused"}},
		"node's metadata":  {fetch.Source{Repository: "http://169.254.169.254/charts"}, fetch.Unreachable, []string{"link-local"}},
		"registry refuses": {fetch.Source{OCI: ociPath(closed)}, fetch.Unreachable, []string{"connection refused"}},
		"unknown host":     {fetch.Source{Repository: "https://charts.invalid"}, fetch.Unreachable, []string{"charts.invalid"}},
		"hangs":            {fetch.Source{Repository: hanging.URL}, fetch.Unreachable, []string{"within 1s"}},
		"URL without host": {fetch.Source{Repository: "https:///charts"}, fetch.Invalid, []string{"https://host/path"}},
		"URL with a password": {
			fetch.Source{Repository: "https://u:" + password + "@h/?" + token},
			fetch.Invalid, []string{"https://h/", "has a user"},
		},
		"URL that is none":        {fetch.Source{Repository: "https://u:" + password + "@h:x/"}, fetch.Invalid, []string{"https://host/path"}},
		"docker config":           {fetch.Source{Repository: closed.URL, DockerConfig: []byte("{}")}, fetch.Invalid, []string{"registries only"}},
		"signatures":              {fetch.Source{Repository: closed.URL, Key: []byte("k")}, fetch.Invalid, []string{"registry only"}},
		"no source":               {fetch.Source{}, fetch.Invalid, []string{"0 sources"}},
		"signatures of archives":  {fetch.Source{Archives: map[string][]byte{}, Key: []byte("k")}, fetch.Invalid, []string{"registry only"}},
		"context that has passed": {fetch.Source{Repository: closed.URL}, fetch.Unreachable, nil},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if name == "context that has passed" {
				cancel()
			}
			start := time.Now()
			_, err := fetch.Charts(ctx, tc.source, "1.31.1", "base")
			wantError(t, err, tc.reason, tc.want...)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

// A proxy carries what is read: as requests for http, and as tunnels for https.
func TestProxy(t *testing.T) {
	base := packed(t, "base", "1.31.1", 0)
	authority := newPKI(t)
	handler := repositoryOf(t, map[string][]byte{"base-1.31.1.tgz": base})
	registry := authority.start(newRegistry())
	push(t, registry, "base", "1.31.1", base)
	plain := httptest.NewServer(handler)
	defer plain.Close()
	encrypted := authority.start(handler)
	var through atomic.Int64
	proxy := httptest.NewServer(proxyHandler(&through, "Basic cHJveHk6aHVudGVyMi1zZWNyZXQ="))
	defer proxy.Close()
	withUser := strings.Replace(proxy.URL, "http://", "http://proxy:"+password+"@", 1)

	for name, tc := range map[string]struct {
		source fetch.Source
		reason fetch.Reason
		want   []string
	}{
		"http":                  {source: fetch.Source{Repository: plain.URL, Proxy: withUser}},
		"https":                 {source: fetch.Source{Repository: encrypted.URL, Proxy: withUser}},
		"registry":              {source: fetch.Source{OCI: ociPath(registry), Proxy: withUser}},
		"http without password": {fetch.Source{Repository: plain.URL, Proxy: proxy.URL}, fetch.Unreachable, []string{"407", "spec.charts.proxy"}},
		"https without password": {
			fetch.Source{Repository: encrypted.URL, Proxy: proxy.URL},
			fetch.Unreachable, []string{"407", "spec.charts.proxy"},
		},
		"registry, wrong password": {
			fetch.Source{OCI: ociPath(registry), Proxy: strings.Replace(withUser, "proxy:", "other:", 1)},
			fetch.Unreachable, []string{"407"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			through.Store(0)
			tc.source.CA = authority.pem()
			got, err := fetch.Charts(t.Context(), tc.source, "1.31.1", "base")
			if tc.reason != "" {
				wantError(t, err, tc.reason, tc.want...)
				return
			}
			if err != nil || !bytes.Equal(got[0].Data, base) || through.Load() == 0 {
				t.Errorf("%d charts, %d requests through the proxy, error %v", len(got), through.Load(), err)
			}
		})
	}
}
