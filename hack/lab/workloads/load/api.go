package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// maxRuns is how many runs are remembered. Reports are read soon after.
const maxRuns = 100

// api takes orders:
//
//	POST /run             order            starts a run, returns its report
//	GET  /run/{id}                         the report so far
//	POST /run/{id}/stop                    ends it, waits for the last answer, returns the report
//	POST /once            order            sends count requests, returns the answers
//	GET  /once?url=&timeout=               the same for one
//	GET  /healthz
type api struct {
	ctx context.Context // of the process: runs outlive the request that starts them
	mux *http.ServeMux

	mu   sync.Mutex
	next int
	runs map[string]*run
}

func newAPI(ctx context.Context) *api {
	a := &api{ctx: ctx, mux: http.NewServeMux(), runs: map[string]*run{}}
	a.mux.HandleFunc("POST /run", a.start)
	a.mux.HandleFunc("GET /run/{id}", a.withRun(func(*run) {}))
	a.mux.HandleFunc("POST /run/{id}/stop", a.withRun((*run).stop))
	a.mux.HandleFunc("/once", a.shoot)
	a.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return a
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

func (a *api) start(w http.ResponseWriter, r *http.Request) {
	o, err := readOrder(w, r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	q := newRequester(o)
	run := a.add(func(id string) *run { return newRun(id, o, q.do) })
	if run == nil {
		q.close()
		http.Error(w, "the process ends: start the run elsewhere", http.StatusServiceUnavailable)
		return
	}
	go func() {
		defer q.close()
		run.drive(a.ctx)
	}()
	reply(w, http.StatusCreated, run.report())
}

// finish waits for the runs to end, which they do when the process is told to.
// Every request has a limit, so that this is not for long.
func (a *api) finish() {
	a.mu.Lock()
	runs := slices.Collect(maps.Values(a.runs))
	a.mu.Unlock()
	for _, r := range runs {
		<-r.done
	}
}

// add registers a run and forgets the oldest ones that are over. It returns nil
// when the process ends: such a run would send nothing.
func (a *api) add(create func(id string) *run) *run {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ctx.Err() != nil {
		return nil
	}
	a.next++
	r := create(strconv.Itoa(a.next))
	a.runs[r.id] = r
	for n := 1; n < a.next && len(a.runs) > maxRuns; n++ {
		id := strconv.Itoa(n)
		if old, ok := a.runs[id]; ok && old.isOver() {
			delete(a.runs, id)
		}
	}
	return r
}

func (r *run) isOver() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

func (a *api) withRun(act func(*run)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		run, ok := a.runs[r.PathValue("id")]
		a.mu.Unlock()
		if !ok {
			http.Error(w, fmt.Sprintf("no run %q", r.PathValue("id")), http.StatusNotFound)
			return
		}
		act(run)
		reply(w, http.StatusOK, run.report())
	}
}

// answer is one outcome, as JSON.
type answer struct {
	At       time.Time `json:"at"`
	Status   int       `json:"status"`
	Cluster  string    `json:"cluster,omitempty"`
	Body     string    `json:"body,omitempty"`
	Error    string    `json:"error,omitempty"`
	Kind     string    `json:"kind,omitempty"`
	Duration float64   `json:"durationMs"`
}

func (a *api) shoot(w http.ResponseWriter, r *http.Request) {
	o, err := readOrder(w, r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	q := newRequester(o)
	defer q.close()
	reply(w, http.StatusOK, map[string]any{"answers": shots(r.Context(), o, q.do)})
}

// shots sends count requests as fast as the allowed concurrency lets it: one
// after the other unless the order says otherwise.
func shots(ctx context.Context, o order, send func(context.Context) outcome) []answer {
	answers := make([]answer, o.Count)
	slots := make(chan struct{}, max(o.Concurrency, 1))
	var all sync.WaitGroup
	for i := range answers {
		slots <- struct{}{}
		all.Go(func() {
			answers[i] = newAnswer(send(ctx))
			<-slots
		})
	}
	all.Wait()
	return answers
}

func newAnswer(o outcome) answer {
	a := answer{At: o.at, Status: o.status, Cluster: o.cluster, Body: o.body, Kind: o.kind(), Duration: milliseconds(o.duration)}
	if o.err != nil {
		a.Error = o.err.Error()
	}
	return a
}

// readOrder reads the order from the query of a GET, else from the body.
func readOrder(w http.ResponseWriter, r *http.Request) (order, error) {
	var o order
	if r.Method == http.MethodGet {
		o.URL = r.URL.Query().Get("url")
		if timeout := r.URL.Query().Get("timeout"); timeout != "" {
			if err := o.Timeout.UnmarshalText([]byte(timeout)); err != nil {
				return o, err
			}
		}
		err := o.complete()
		return o, err
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	decoder.DisallowUnknownFields() // a misspelt field would silently weaken a test
	if err := decoder.Decode(&o); err != nil {
		return o, fmt.Errorf("read the order: %w", err)
	}
	err := o.complete()
	return o, err
}

func reply(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the caller is gone: nobody to tell
}
