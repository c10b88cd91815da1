package custom

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

func anyAddress(netip.Addr) error { return nil }

// viaProxy counts the requests to the proxy of the environment.
var viaProxy atomic.Int32

// TestMain lets gates reach the servers of tests, which are on loopback, and puts a proxy into the environment for all others. The
// environment is read once.
func TestMain(m *testing.M) {
	checkAddress = anyAddress
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		viaProxy.Add(1)
		w.WriteHeader(http.StatusTeapot)
	}))
	for name, value := range map[string]string{"HTTP_PROXY": proxy.URL, "NO_PROXY": ""} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	proxy.Close()
	os.Exit(code)
}

func TestRefuseLocal(t *testing.T) {
	for address, refused := range map[string]string{
		"169.254.169.254": "link-local", "169.254.0.1": "link-local", "fe80::1": "link-local", "fe80::1%eth0": "link-local", "ff02::1": "link-local",
		"::ffff:169.254.169.254": "link-local",
		"127.0.0.1":              "loopback", "127.8.8.8": "loopback", "::1": "loopback", "::ffff:127.0.0.1": "loopback",
		"0.0.0.0": "unspecified", "::": "unspecified",
		"10.0.0.1": "", "192.168.1.1": "", "8.8.8.8": "", "fd00::1": "", "2001:db8::1": "", "170.254.0.1": "",
	} {
		err := refuseLocal(netip.MustParseAddr(address))
		if (err != nil) != (refused != "") || err != nil && !strings.Contains(err.Error(), "the "+refused+" address") {
			t.Errorf("%s: %v, want %q", address, err, refused)
		}
	}
}

// TestGatesDoNotReachTheirOwnHost asks servers that are there, by name and by address.
func TestGatesDoNotReachTheirOwnHost(t *testing.T) {
	asked := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer server.Close()
	checkAddress = refuseLocal
	t.Cleanup(func() { checkAddress = anyAddress })
	port := server.URL[strings.LastIndex(server.URL, ":"):]
	for _, url := range []string{server.URL, "http://localhost" + port, "http://[::ffff:127.0.0.1]" + port, "http://0.0.0.0" + port, "http://169.254.169.254/latest/meta-data"} {
		_, err := get(t.Context(), customSubject(), meshv1alpha1.GateServer{URL: url})
		if err == nil || !strings.Contains(err.Error(), "is refused") || asked {
			t.Errorf("%s: %v, asked: %v", url, err, asked)
		}
	}
}

// TestGatesGoThroughTheProxy reaches a server through the proxy of the environment, which may be on loopback. An address in the URL is
// checked all the same.
func TestGatesGoThroughTheProxy(t *testing.T) {
	checkAddress = refuseLocal
	t.Cleanup(func() { checkAddress = anyAddress })
	viaProxy.Store(0)
	code, err := get(t.Context(), customSubject(), meshv1alpha1.GateServer{URL: "http://gates.example/"})
	if code != http.StatusTeapot || err != nil || viaProxy.Load() != 1 {
		t.Errorf("status %d, %v; the proxy was asked %d times", code, err, viaProxy.Load())
	}
	_, err = get(t.Context(), customSubject(), meshv1alpha1.GateServer{URL: "http://169.254.169.254/"})
	if err == nil || !strings.Contains(err.Error(), "is refused") || viaProxy.Load() != 1 {
		t.Errorf("link-local: %v; the proxy was asked %d times", err, viaProxy.Load())
	}
}
