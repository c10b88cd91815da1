package istiod

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/meshfleet/meshfleet/internal/testutil"
)

// hosts is an answer with the endpoints of many hosts, which is made while it is read.
func hosts(n int) io.Reader {
	r, w := io.Pipe()
	go func() {
		_, err := io.WriteString(w, "{")
		for i := 0; i < n && err == nil; i++ {
			comma := ","
			if i == 0 {
				comma = ""
			}
			_, err = fmt.Fprintf(w, `%s"host-%d.demo":{"demo":{"Shards":{"Kubernetes/east":[{"Labels":{"app":%q},"Addresses":["10.0.0.1"]}]}}}`,
				comma, i, strings.Repeat("x", 10<<10))
		}
		if err == nil {
			_, err = io.WriteString(w, "}")
		}
		_ = w.CloseWithError(err) // the reader says what is wrong
	}()
	return r
}

// TestAnswersAreReadPieceByPiece reads an answer of 100 MiB, which is more than an answer could have before, in far less memory.
func TestAnswersAreReadPieceByPiece(t *testing.T) {
	const n = 10_000
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	read, largest := 0, uint64(0)
	err := eachField(json.NewDecoder(hosts(n)), func(_ string, s service) {
		if len(addressesIn(s, "Kubernetes/east")) == 1 {
			read++
		}
		if read%1000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			largest = max(largest, now.HeapAlloc)
		}
	})
	if err != nil || read != n {
		t.Fatalf("%d hosts (%v), want %d", read, err, n)
	}
	if grown := int64(largest) - int64(before.HeapAlloc); grown > 10<<20 { //nolint:gosec // far less than 2^63
		t.Errorf("the answer takes %d MiB of memory while it is read", grown>>20)
	}
}

// TestLargeAnswer asks an istiod pod whose answer is larger than an answer could be before.
func TestLargeAnswer(t *testing.T) {
	c := testutil.NewCluster(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, hosts(8000)) // the reader says what is wrong
	}))
	t.Cleanup(server.Close)
	c.Forward("istiod-0", "15014", server.Listener.Addr().String())
	got, err := ClusterEndpoints(t.Context(), c.Config(), "istio-system", "istiod-0", "east")
	if err != nil || len(got) != 8000 {
		t.Errorf("%d hosts (%v), want 8000", len(got), err)
	}
}

// TestAllowance reads bodies that arrive at different rates.
func TestAllowance(t *testing.T) {
	for name, c := range map[string]struct {
		// size of the body in MiB, and the time that each takes.
		size int
		each time.Duration
		want bool
	}{
		"a small one arrives at once":                        {1, 0, true},
		"a large one arrives at a good rate":                 {1000, 500 * time.Millisecond, true},
		"one of twice the size, which takes twice the time":  {2000, 500 * time.Millisecond, true},
		"one hangs from the beginning":                       {1, time.Hour, false},
		"one arrives too slowly, and does not stop to do so": {1000, 2 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, limit := newAllowance(t.Context())
				defer limit.end()
				began := time.Now()
				for range c.size {
					select {
					case <-time.After(c.each):
						limit.arrived(1 << 20)
					case <-ctx.Done():
					}
				}
				if got := limit.exceeded() == nil; got != c.want {
					t.Errorf("in time: %v after %s, want %v", got, time.Since(began), c.want)
				}
				if took := time.Since(began); !c.want && took > time.Minute {
					t.Errorf("it ended after %s", took)
				}
			})
		})
	}
}

func TestEachElement(t *testing.T) {
	for text, want := range map[string][]int{"[1, 2, 3]": {1, 2, 3}, "[]": nil, "null": nil} {
		var got []int
		if err := eachElement(json.NewDecoder(strings.NewReader(text)), func(n int) { got = append(got, n) }); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	for _, text := range []string{"", "{}", "[1, 2", `["a"]`, "1", "[1,"} {
		if err := eachElement(json.NewDecoder(strings.NewReader(text)), func(int) {}); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}

func TestEachField(t *testing.T) {
	got := map[string]int{}
	if err := eachField(json.NewDecoder(strings.NewReader(`{"a": 1, "b": 2}`)), func(name string, n int) { got[name] = n }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"a": 1, "b": 2}, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	for _, text := range []string{"", "[]", `{"a": 1`, `{"a": "b"}`, `{"a"`} {
		if err := eachField(json.NewDecoder(strings.NewReader(text)), func(string, int) {}); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}
