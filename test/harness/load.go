package harness

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// LoadReport is what came of a steady load.
type LoadReport struct {
	Sent      int            `json:"sent"`
	OK        int            `json:"ok"`
	Failed    int            `json:"failed"`
	ByCluster map[string]int `json:"byCluster"`
	Failures  []Failure      `json:"failures"`
	P50Ms     float64        `json:"p50Ms"`
	P99Ms     float64        `json:"p99Ms"`
	MaxMs     float64        `json:"maxMs"`
}

// Failure is one request that failed.
type Failure struct {
	At     time.Time `json:"at"`
	Kind   string    `json:"kind"`
	Error  string    `json:"error"`
	Status int       `json:"status"`
	// Load is the client and the address, if the load is one of several.
	Load string `json:"-"`
}

// String tells when, where and why.
func (f Failure) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s: %s %s (status %d)", f.At.Format("15:04:05.000"), f.Load, f.Kind, f.Error, f.Status))
}

// String sums the report up in one line.
func (r LoadReport) String() string {
	served := make([]string, 0, len(r.ByCluster))
	for _, name := range slices.Sorted(maps.Keys(r.ByCluster)) {
		served = append(served, fmt.Sprintf("%s %d", name, r.ByCluster[name]))
	}
	return fmt.Sprintf("%d sent, %d failed, served by %s, p50 %.1f ms, p99 %.1f ms, max %.0f ms",
		r.Sent, r.Failed, strings.Join(served, ", "), r.P50Ms, r.P99Ms, r.MaxMs)
}

// Load is a steady load that runs in a client pod.
type Load struct {
	client Client
	url    string
	pod    string
	id     string
}

// loadTimeout of one request. It must stay below the 10 s in which Envoy gives up connecting and tries another address:
// a request to a gateway where nobody answers is a failure and must not pass as a slow success. It is not shorter, because
// all clusters of a lab share one small machine, where everything may stand still for a few seconds.
const loadTimeout = 8 * time.Second

// StartLoad makes the client send requests at a steady rate until it is stopped.
func (c Client) StartLoad(ctx context.Context, url string, perSecond int) (*Load, error) {
	pod, err := c.pod(ctx)
	if err != nil {
		return nil, err
	}
	in := map[string]any{"url": url, "rps": perSecond, "timeout": loadTimeout.String(), "duration": "1h", "newConnection": c.dials}
	var out struct {
		ID string `json:"id"`
	}
	if err := c.control(ctx, "POST", pod, "run", in, &out); err != nil {
		return nil, err
	}
	return &Load{client: c, url: url, pod: pod, id: out.ID}, nil
}

// Report reads what has come of the load so far.
func (l *Load) Report(ctx context.Context) (LoadReport, error) {
	var r LoadReport
	err := l.client.control(ctx, "GET", l.pod, "run/"+l.id, nil, &r)
	return r, err
}

// Stop ends the load, waits for the requests on their way, and returns what came of all.
func (l *Load) Stop(ctx context.Context) (LoadReport, error) {
	var r LoadReport
	err := l.client.control(ctx, "POST", l.pod, "run/"+l.id+"/stop", nil, &r)
	return r, err
}

// String names the load in reports.
func (l *Load) String() string { return fmt.Sprintf("%s → %s", l.client, shortURL(l.url)) }

func shortURL(url string) string {
	host := strings.TrimPrefix(url, "http://")
	name, _, _ := strings.Cut(host, ".")
	return name
}

// add sums reports of the same load up. Percentiles do not add up: the worst stands.
func (r *LoadReport) add(o LoadReport) {
	r.Sent += o.Sent
	r.OK += o.OK
	r.Failed += o.Failed
	r.Failures = append(r.Failures, o.Failures...)
	r.P50Ms, r.P99Ms, r.MaxMs = max(r.P50Ms, o.P50Ms), max(r.P99Ms, o.P99Ms), max(r.MaxMs, o.MaxMs)
	if r.ByCluster == nil {
		r.ByCluster = map[string]int{}
	}
	for k, v := range o.ByCluster {
		r.ByCluster[k] += v
	}
}
