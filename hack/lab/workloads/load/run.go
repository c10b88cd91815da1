package main

import (
	"context"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"
)

// maxFailures bounds the list in a report. The counters have them all.
const maxFailures = 1000

// run is one series of requests at a steady rate. Requests start when they are
// due, however slow the answers are: users do not wait for each other either.
// A closed loop would send less just when the server fails.
type run struct {
	id    string
	order order
	send  func(context.Context) outcome
	halt  chan struct{} // closed by stop
	done  chan struct{} // closed when the last answer is in
	once  sync.Once

	mu        sync.Mutex
	total     report
	latencies []float64 // milliseconds, of requests that were sent
}

// report accounts for a run. Every request that was due is in Sent, and when
// the run is over also either in OK or in Failed.
type report struct {
	ID        string         `json:"id"`
	URL       string         `json:"url"`
	RPS       float64        `json:"rps"`
	Running   bool           `json:"running"`
	StartedAt time.Time      `json:"startedAt"`
	EndedAt   *time.Time     `json:"endedAt,omitempty"`
	Sent      int            `json:"sent"`
	OK        int            `json:"ok"`
	Failed    int            `json:"failed"`
	ByStatus  map[string]int `json:"byStatus"`
	ByKind    map[string]int `json:"byKind"`
	ByCluster map[string]int `json:"byCluster"`
	P50       float64        `json:"p50Ms"`
	P99       float64        `json:"p99Ms"`
	Max       float64        `json:"maxMs"`
	Failures  []failure      `json:"failures"`
}

// failure is one request that failed. At is when it was sent: a change that
// happened shortly after is the suspect.
type failure struct {
	At       time.Time `json:"at"`
	Kind     string    `json:"kind"`
	Status   int       `json:"status,omitempty"`
	Cluster  string    `json:"cluster,omitempty"`
	Error    string    `json:"error,omitempty"`
	Duration float64   `json:"durationMs"`
}

func newRun(id string, o order, send func(context.Context) outcome) *run {
	if o.Concurrency == 0 {
		o.Concurrency = 1000
	}
	return &run{
		id: id, order: o, send: send, halt: make(chan struct{}), done: make(chan struct{}),
		total: report{
			ID: id, URL: o.URL, RPS: o.RPS, Running: true, StartedAt: time.Now(), Failures: []failure{},
			ByStatus: map[string]int{}, ByKind: map[string]int{}, ByCluster: map[string]int{},
		},
	}
}

// drive sends what the order asks for and returns when all answers are in. The
// end of ctx, like stop, ends the sending and lets requests in flight finish:
// what is cut off by its own sender says nothing about the server.
func (r *run) drive(ctx context.Context) {
	defer close(r.done)
	var inFlight sync.WaitGroup
	slots := make(chan struct{}, r.order.Concurrency)
	start := time.Now()
	for i := range int(math.Round(r.order.RPS * time.Duration(r.order.Duration).Seconds())) {
		// Each is due at its own time after the start: lateness does not add up.
		if !r.waitUntil(ctx, start.Add(time.Duration(float64(i)/r.order.RPS*float64(time.Second)))) {
			break
		}
		r.mu.Lock()
		r.total.Sent++
		r.mu.Unlock()
		select {
		case slots <- struct{}{}:
			inFlight.Go(func() {
				r.record(r.send(context.WithoutCancel(ctx)))
				<-slots
			})
		default:
			r.record(outcome{at: time.Now(), err: errSaturated})
		}
	}
	inFlight.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	ended := time.Now()
	r.total.EndedAt, r.total.Running = &ended, false
}

// waitUntil returns false when the run is to end before the given time.
func (r *run) waitUntil(ctx context.Context, due time.Time) bool {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-r.halt:
		return false
	case <-timer.C:
		return true
	}
}

// stop ends the run and waits for its last answer.
func (r *run) stop() {
	r.once.Do(func() { close(r.halt) })
	<-r.done
}

func (r *run) record(o outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o.status != 0 {
		r.total.ByStatus[strconv.Itoa(o.status)]++
	}
	if o.cluster != "" {
		r.total.ByCluster[o.cluster]++
	}
	kind := o.kind()
	if kind != "saturated" {
		r.latencies = append(r.latencies, milliseconds(o.duration))
	}
	if kind == "" {
		r.total.OK++
		return
	}
	r.total.Failed++
	r.total.ByKind[kind]++
	if len(r.total.Failures) < maxFailures {
		r.total.Failures = append(r.total.Failures, newFailure(o))
	}
}

func newFailure(o outcome) failure {
	f := failure{At: o.at, Kind: o.kind(), Status: o.status, Cluster: o.cluster, Duration: milliseconds(o.duration)}
	if o.err != nil {
		f.Error = o.err.Error()
	} else {
		// A proxy that answers for a dead server says in the body what it met.
		f.Error = o.body[:min(len(o.body), 300)]
	}
	return f
}

// report returns the account so far; the run may go on meanwhile.
func (r *run) report() report {
	r.mu.Lock()
	defer r.mu.Unlock()
	snapshot := r.total
	snapshot.ByStatus = clone(r.total.ByStatus)
	snapshot.ByKind = clone(r.total.ByKind)
	snapshot.ByCluster = clone(r.total.ByCluster)
	snapshot.Failures = slices.Clone(r.total.Failures)
	sorted := slices.Sorted(slices.Values(r.latencies))
	snapshot.P50, snapshot.P99, snapshot.Max = percentile(sorted, 0.50), percentile(sorted, 0.99), percentile(sorted, 1)
	return snapshot
}

// clone keeps an empty map an empty map: in JSON it must not become null.
func clone(m map[string]int) map[string]int {
	c := make(map[string]int, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

// percentile is the smallest value that the given share of all does not exceed.
func percentile(sorted []float64, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(share * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}

func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Millisecond)*1000) / 1000
}
