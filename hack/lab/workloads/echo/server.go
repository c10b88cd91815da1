package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// identity says where the server runs. The manifest and the downward API set it.
type identity struct {
	Cluster   string `json:"cluster"`
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	Node      string `json:"node"`
	Revision  string `json:"revision"`
	Version   string `json:"version"`
	Service   string `json:"service"`
}

func identityFromEnv(get func(string) string) identity {
	id := identity{
		Cluster: get("CLUSTER"), Namespace: get("POD_NAMESPACE"), Pod: get("POD_NAME"), Node: get("NODE_NAME"),
		Revision: get("REVISION"), Version: get("VERSION"), Service: get("SERVICE"),
	}
	if id.Pod == "" {
		id.Pod, _ = os.Hostname()
	}
	return id
}

// answer is what every request gets, failed ones included: the caller learns
// which cluster failed it.
type answer struct {
	identity
	Method       string      `json:"method"`
	Host         string      `json:"host"`
	Path         string      `json:"path"`
	CallerSPIFFE string      `json:"callerSPIFFE"`
	XFCC         string      `json:"xfcc,omitempty"`
	Headers      http.Header `json:"headers"`
	Error        string      `json:"error,omitempty"`
}

type server struct {
	id       identity
	mux      *http.ServeMux
	draining atomic.Bool
	random   func() float64
}

func newServer(id identity) *server {
	s := &server{id: id, mux: http.NewServeMux(), random: rand.Float64}
	s.mux.HandleFunc("/", s.echo)
	s.mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	s.mux.HandleFunc("/readyz", s.ready)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func (s *server) ready(w http.ResponseWriter, _ *http.Request) {
	if s.draining.Load() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (s *server) echo(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // so that the connection can be reused
	a := answer{
		identity: s.id, Method: r.Method, Host: r.Host, Path: r.URL.Path, Headers: r.Header,
		XFCC: strings.Join(r.Header.Values(xfccHeader), ","), CallerSPIFFE: callerSPIFFE(r.Header.Values(xfccHeader)),
	}
	b, err := parseBehaviour(r.URL)
	if err != nil {
		a.Error = err.Error()
		s.reply(w, http.StatusBadRequest, a)
		return
	}
	status := http.StatusOK
	if b.cluster == "" || b.cluster == s.id.Cluster {
		select {
		case <-r.Context().Done():
			return
		case <-time.After(b.delay):
		}
		if b.ratio >= 1 || s.random() < b.ratio {
			status = b.status
		}
	}
	s.reply(w, status, a)
}

func (s *server) reply(w http.ResponseWriter, status int, a answer) {
	body, err := json.Marshal(a)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Served-By-Cluster", a.Cluster)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the caller is gone: nobody to tell
}

// behaviour is what a request asks the server to do before it answers.
type behaviour struct {
	status  int           // answered instead of 200
	ratio   float64       // share of requests that get status
	delay   time.Duration // before any answer
	cluster string        // misbehave only when serving there; "" is everywhere
}

// parseBehaviour reads what a request asks for. On any path the query may have
//
//	status=503  ratio=0.5  delay=2s  in=west
//
// and some paths are short forms:
//
//	/status/503  /delay?d=2s  /flaky?fail=0.5  /flaky?failcluster=west&code=500
func parseBehaviour(u *url.URL) (behaviour, error) {
	q := u.Query()
	b := behaviour{status: http.StatusOK, ratio: 1, cluster: q.Get("in")}
	p := parser{query: q}
	p.integer("status", &b.status)
	p.number("ratio", &b.ratio)
	p.duration("delay", &b.delay)
	switch code, isStatus := strings.CutPrefix(u.Path, "/status/"); {
	case isStatus:
		p.query = url.Values{"path": {code}}
		p.integer("path", &b.status)
	case u.Path == "/delay":
		p.duration("d", &b.delay)
	case u.Path == "/flaky":
		b.status, b.ratio = http.StatusServiceUnavailable, 1
		p.integer("code", &b.status)
		p.number("fail", &b.ratio)
		if cluster := q.Get("failcluster"); cluster != "" {
			b.cluster = cluster
		}
	}
	if p.err == nil && (b.status < 200 || b.status > 599) {
		p.err = fmt.Errorf("status %d is not between 200 and 599", b.status)
	}
	return b, p.err
}

// parser reads optional query parameters and keeps the first error.
type parser struct {
	query url.Values
	err   error
}

func (p *parser) integer(name string, to *int) {
	parse(p, name, to, strconv.Atoi)
}

func (p *parser) number(name string, to *float64) {
	parse(p, name, to, func(s string) (float64, error) { return strconv.ParseFloat(s, 64) })
}

func (p *parser) duration(name string, to *time.Duration) {
	parse(p, name, to, time.ParseDuration)
}

func parse[T any](p *parser, name string, to *T, convert func(string) (T, error)) {
	text := p.query.Get(name)
	if text == "" {
		return
	}
	value, err := convert(text)
	if err != nil {
		if p.err == nil {
			p.err = fmt.Errorf("query parameter %q: %w", name, err)
		}
		return
	}
	*to = value
}
