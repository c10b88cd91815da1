//go:build e2e && upgrades

package e2e

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// hostAddress is this machine's on the bridge of the lab, where pods of the hub reach it.
const hostAddress = "172.30.0.1:0"

// question is what the operator asks a webhook.
type question struct {
	Gate, Installation, Upgrade, Member, Stage, From, To string
}

// gateServer answers as a webhook of a gate: each of its answers in turn, the last one for ever.
type gateServer struct {
	url string

	mu      sync.Mutex
	answers []gateAnswer
	asked   []question
}

type gateAnswer struct {
	code int
	body string
}

func newGateServer(t *testing.T) *gateServer {
	t.Helper()
	g := &gateServer{}
	listener, err := net.Listen("tcp", hostAddress)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(g)
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

// say adds an answer.
func (g *gateServer) say(code int, body string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answers = append(g.answers, gateAnswer{code, body})
}

// ServeHTTP notes the question and answers it.
func (g *gateServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q question
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	g.mu.Lock()
	g.asked = append(g.asked, q)
	a := g.answers[0]
	if len(g.answers) > 1 {
		g.answers = g.answers[1:]
	}
	g.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.code)
	_, _ = w.Write([]byte(a.body))
}

func (g *gateServer) wasAsked(q question) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, asked := range g.asked {
		if asked == q {
			return true
		}
	}
	return false
}

// gate is one of the upgrade that asks the server.
func (g *gateServer) gate(name string) meshv1alpha1.Gate {
	return meshv1alpha1.Gate{Name: name, Webhook: &meshv1alpha1.WebhookGate{
		GateServer: meshv1alpha1.GateServer{URL: g.url}, Interval: &metav1.Duration{Duration: 5 * time.Second},
	}}
}
