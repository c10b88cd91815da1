package istiod

import (
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meshfleet/meshfleet/internal/testutil"
)

const metricsText = `# HELP istio_build Istio component build info
# TYPE istio_build gauge
istio_build{component="pilot",tag="1.29.1"} 1
# HELP pilot_total_xds_rejects Total number of XDS responses from pilot rejected by proxy.
# TYPE pilot_total_xds_rejects counter
pilot_total_xds_rejects{type="lds"} 4
pilot_total_xds_rejects{type="cds"} 1
# TYPE pilot_proxy_queue_time histogram
pilot_proxy_queue_time_bucket{le="0.1"} 3
pilot_proxy_queue_time_bucket{le="+Inf"} 3
pilot_proxy_queue_time_sum 0.01
pilot_proxy_queue_time_count 3
up 1
`

const syncz = `[{"cluster_id":"east","proxy":"web-0.demo","proxy_type":"sidecar","istio_version":"1.29.1",
  "cluster_sent":"a","cluster_acked":"a",
  "resources":{
    "type.googleapis.com/envoy.config.cluster.v3.Cluster":{"sent":"a","acked":"a","sentTime":"2026-01-02T03:04:05.5Z"},
    "type.googleapis.com/envoy.config.listener.v3.Listener":{"sent":"c","acked":"b","sentTime":"2026-01-02T03:04:05Z","lastError":"no such filter"}}},
  {"proxy":"new-0.demo"}]`

func TestMetrics(t *testing.T) {
	c := testutil.NewCluster(t)
	c.Listen(t, "istiod-0", "15014", map[string]string{"/metrics": metricsText})
	got, err := Metrics(t.Context(), c.Config(), "istio-system", "istiod-0")
	if err != nil {
		t.Fatalf("Metrics: %v", err)
	}
	want := map[string][]Sample{
		"istio_build":             {{map[string]string{"component": "pilot", "tag": "1.29.1"}, 1}},
		"pilot_total_xds_rejects": {{map[string]string{"type": "lds"}, 4}, {map[string]string{"type": "cds"}, 1}},
		"up":                      {{map[string]string{}, 1}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Metrics (-want +got):\n%s", diff)
	}
}

func TestMetricsRefusesOtherText(t *testing.T) {
	c := testutil.NewCluster(t)
	c.Listen(t, "istiod-0", "15014", map[string]string{"/metrics": "<html>{\n"})
	if got, err := Metrics(t.Context(), c.Config(), "istio-system", "istiod-0"); err == nil {
		t.Errorf("Metrics: %v, want an error", got)
	}
}

func TestSigningEnd(t *testing.T) {
	cases := map[string]struct {
		text string
		want time.Time
	}{
		"istiod that signs": {text: `# HELP citadel_server_cert_chain_expiry_seconds The time remaining, in seconds.
# TYPE citadel_server_cert_chain_expiry_seconds gauge
citadel_server_cert_chain_expiry_seconds 7.775999e+06
# HELP citadel_server_cert_chain_expiry_timestamp The unix timestamp, in seconds, when Istio generated cert chain will expire.
# TYPE citadel_server_cert_chain_expiry_timestamp gauge
citadel_server_cert_chain_expiry_timestamp 1.775001661e+09
`, want: time.Unix(1775001661, 0).UTC()},
		"istiod that does not": {text: metricsText},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			c := testutil.NewCluster(t)
			c.Listen(t, "istiod-0", "15014", map[string]string{"/metrics": test.text})
			got, err := SigningEnd(t.Context(), c.Config(), "istio-system", "istiod-0")
			if err != nil || !got.Equal(test.want) {
				t.Errorf("SigningEnd: %v, %v, want %v", got, err, test.want)
			}
		})
	}
	c := testutil.NewCluster(t)
	c.Listen(t, "istiod-0", "15014", map[string]string{"/metrics": "<html>{\n"})
	if got, err := SigningEnd(t.Context(), c.Config(), "istio-system", "istiod-0"); err == nil {
		t.Errorf("SigningEnd: %v, want an error", got)
	}
}

func TestProxies(t *testing.T) {
	c := testutil.NewCluster(t)
	c.Listen(t, "istiod-0", "15014", map[string]string{"/debug/syncz": syncz})
	got, err := Proxies(t.Context(), c.Config(), "istio-system", "istiod-0")
	if err != nil {
		t.Fatalf("Proxies: %v", err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	want := []Proxy{
		{ID: "web-0.demo", Cluster: "east", Resources: map[string]Resource{
			"type.googleapis.com/envoy.config.cluster.v3.Cluster":   {Sent: "a", Acked: "a", SentAt: at.Add(500 * time.Millisecond)},
			"type.googleapis.com/envoy.config.listener.v3.Listener": {Sent: "c", Acked: "b", SentAt: at, Error: "no such filter"},
		}},
		{ID: "new-0.demo"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Proxies (-want +got):\n%s", diff)
	}
}

// secure serves TLS at the webhook port of the pod, as example.com, and counts connections.
func secure(t *testing.T, c *testutil.Cluster) (roots *x509.CertPool, connections func() int) {
	t.Helper()
	var mu sync.Mutex
	from := map[string]bool{}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		from[r.RemoteAddr] = true
		mu.Unlock()
		_, _ = io.Copy(w, r.Body)
	}))
	t.Cleanup(server.Close)
	c.Forward("istiod-0", "15017", server.Listener.Addr().String())
	roots = x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return roots, func() int { mu.Lock(); defer mu.Unlock(); return len(from) }
}

func post(t *testing.T, client *http.Client, body string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://example.com/validate", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := Do(client, req)
	return string(answer), err
}

func TestHTTPSClientKeepsItsConnection(t *testing.T) {
	for name, spdyOnly := range map[string]bool{"WebSocket": false, "SPDY": true} {
		t.Run(name, func(t *testing.T) {
			c := testutil.NewCluster(t)
			c.SPDYOnly = spdyOnly
			roots, connections := secure(t, c)
			client := HTTPSClient(c.Config(), "istio-system", "istiod-0", WebhookPort, roots, "example.com")
			for _, text := range []string{"one", "two", "three"} {
				if got, err := post(t, client, text); err != nil || got != text {
					t.Errorf("post %q: %q, %v", text, got, err)
				}
			}
			if n := connections(); n != 1 {
				t.Errorf("%d connections, want 1", n)
			}
			client.CloseIdleConnections()
			eventually(t, "every tunnel is closed", func() bool { return c.Open.Load() == 0 })
		})
	}
}

func TestHTTPSClientVerifies(t *testing.T) {
	c := testutil.NewCluster(t)
	roots, _ := secure(t, c)
	otherName := HTTPSClient(c.Config(), "istio-system", "istiod-0", WebhookPort, roots, "istiod.istio-system.svc")
	if _, err := post(t, otherName, ""); !isTLS[x509.HostnameError](err) {
		t.Errorf("another name: %v, want x509.HostnameError", err)
	}
	otherRoots := HTTPSClient(c.Config(), "istio-system", "istiod-0", WebhookPort, x509.NewCertPool(), "example.com")
	if _, err := post(t, otherRoots, ""); !isTLS[x509.UnknownAuthorityError](err) {
		t.Errorf("other roots: %v, want x509.UnknownAuthorityError", err)
	}
	eventually(t, "every tunnel is closed", func() bool { return c.Open.Load() == 0 })
}

func isTLS[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
