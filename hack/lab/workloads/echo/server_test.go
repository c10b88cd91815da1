package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestEcho(t *testing.T) {
	tests := map[string]struct {
		target     string
		random     float64
		wantStatus int
	}{
		"answers any path":                               {target: "/anything/here", wantStatus: 200},
		"answers the status in the path":                 {target: "/status/418", wantStatus: 418},
		"answers the status in the query":                {target: "/x?status=503", wantStatus: 503},
		"rejects a status that HTTP does not have":       {target: "/status/999", wantStatus: 400},
		"rejects a status that is no number":             {target: "/status/no", wantStatus: 400},
		"rejects a delay that is no duration":            {target: "/delay?d=5", wantStatus: 400},
		"delays":                                         {target: "/delay?d=1ms", wantStatus: 200},
		"fails below the asked ratio":                    {target: "/flaky?fail=0.5", random: 0.49, wantStatus: 503},
		"does not fail above it":                         {target: "/flaky?fail=0.5", random: 0.51, wantStatus: 200},
		"never fails at ratio 0":                         {target: "/flaky?fail=0", wantStatus: 200},
		"applies the ratio to the query's status":        {target: "/?status=500&ratio=0.5", random: 0.6, wantStatus: 200},
		"fails in the named cluster":                     {target: "/flaky?failcluster=east&code=500", random: 0.99, wantStatus: 500},
		"does not fail in another than the named one":    {target: "/flaky?failcluster=west&code=500", wantStatus: 200},
		"misbehaves only in the named cluster":           {target: "/?status=503&delay=1h&in=west", wantStatus: 200},
		"misbehaves in the named cluster on every path":  {target: "/a/b?status=503&in=east", wantStatus: 503},
		"stays ready and healthy until it is terminated": {target: "/readyz", wantStatus: 200},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := newServer(identity{Cluster: "east", Pod: "echo-1"})
			s.random = func() float64 { return tc.random }
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, tc.target, nil))
			if w.Code != tc.wantStatus {
				t.Errorf("GET %s = %d, want %d: %s", tc.target, w.Code, tc.wantStatus, w.Body)
			}
		})
	}
}

func TestEchoSaysWhoServed(t *testing.T) {
	env := map[string]string{
		"CLUSTER": "east", "POD_NAME": "echo-1", "POD_NAMESPACE": "demo", "NODE_NAME": "east",
		"REVISION": "1-29-1", "VERSION": "v2", "SERVICE": "echo",
	}
	s := newServer(identityFromEnv(func(name string) string { return env[name] }))
	r := httptest.NewRequest(http.MethodPost, "/status/503", nil)
	r.Header.Set(xfccHeader, "URI=spiffe://cluster.local/ns/demo/sa/client")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)

	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"cluster": "east", "pod": "echo-1", "namespace": "demo", "node": "east", "revision": "1-29-1", "version": "v2",
		"service": "echo", "method": "POST", "path": "/status/503", "callerSPIFFE": "spiffe://cluster.local/ns/demo/sa/client",
	}
	for field, value := range want {
		if got[field] != value {
			t.Errorf("%s = %v, want %v", field, got[field], value)
		}
	}
}

func TestServeDrains(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	_ = listener.Close()
	s := newServer(identity{Cluster: "east"})
	ctx, terminate := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- serve(ctx, addr, s, 300*time.Millisecond) }()

	get := func(path string) int {
		resp, err := http.Get("http://" + addr + path)
		if err != nil {
			return 0
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	for deadline := time.Now().Add(5 * time.Second); get("/readyz") != http.StatusOK; {
		if time.Now().After(deadline) {
			t.Fatal("the server did not start")
		}
	}
	terminate()
	for deadline := time.Now().Add(200 * time.Millisecond); get("/readyz") != http.StatusServiceUnavailable; {
		if time.Now().After(deadline) {
			t.Fatal("the server stayed ready after it was terminated")
		}
	}
	if got := get("/"); got != http.StatusOK {
		t.Errorf("while draining, GET / = %d, want 200", got)
	}
	if err := <-served; err != nil {
		t.Errorf("serve() = %v, want no error", err)
	}
}
