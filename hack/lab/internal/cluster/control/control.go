//go:build linux

// Package control is the conversation between labctl and the supervisor of a node: HTTP over a unix socket in the state
// directory. It needs neither the node's network nor its namespaces, so it works while a cluster is cut off.
package control

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Actions on a component.
const (
	Start   = "start"
	Stop    = "stop"
	Restart = "restart"
)

// Status is what the supervisor knows.
type Status struct {
	APIReady   bool              `json:"apiReady"`
	Components []ComponentStatus `json:"components"`
	// Addresses are the LoadBalancer addresses in use, by Service.
	Addresses map[string]string `json:"addresses,omitempty"`
}

// ComponentStatus describes one supervised process.
type ComponentStatus struct {
	Name    string `json:"name"`
	Running bool   `json:"running"`
	// Stopped components stay down until they are started again.
	Stopped bool `json:"stopped,omitempty"`
	// PID is that inside the node.
	PID      int       `json:"pid,omitempty"`
	Restarts int       `json:"restarts"`
	Since    time.Time `json:"since,omitzero"`
	LastExit string    `json:"lastExit,omitempty"`
}

// Supervisor is what the server side offers.
type Supervisor interface {
	Status() Status
	Do(ctx context.Context, action, component string) error
	ImportImage(ctx context.Context, archive io.Reader) error
}

// Serve answers on a listener until it is closed.
func Serve(listener net.Listener, supervisor Supervisor) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(supervisor.Status())
	})
	mux.HandleFunc("POST /components/{name}/{action}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, supervisor.Do(r.Context(), r.PathValue("action"), r.PathValue("name")))
	})
	mux.HandleFunc("POST /images", func(w http.ResponseWriter, r *http.Request) {
		answer(w, supervisor.ImportImage(r.Context(), r.Body))
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	if err := server.Serve(listener); err != nil {
		return fmt.Errorf("serve control socket: %w", err)
	}
	return nil
}

func answer(w http.ResponseWriter, err error) {
	if err == nil {
		return
	}
	http.Error(w, err.Error(), http.StatusInternalServerError)
}

// Client talks to the supervisor behind a socket.
type Client struct{ http *http.Client }

// NewClient does not connect yet.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", socket)
	}
	return &Client{http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Status asks for the state of the node.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var status Status
	err := c.do(ctx, http.MethodGet, "/status", nil, func(body io.Reader) error {
		return json.NewDecoder(body).Decode(&status)
	})
	return status, err
}

// Do starts, stops or restarts a component, and returns when that is done.
func (c *Client) Do(ctx context.Context, action, component string) error {
	return c.do(ctx, http.MethodPost, "/components/"+url.PathEscape(component)+"/"+action, nil, nil)
}

// ImportImage streams an image archive: the node need not be able to see its file.
func (c *Client) ImportImage(ctx context.Context, archive io.Reader) error {
	return c.do(ctx, http.MethodPost, "/images", archive, nil)
}

func (c *Client) do(ctx context.Context, method, path string, body io.Reader, read func(io.Reader) error) error {
	request, err := http.NewRequestWithContext(ctx, method, "http://node"+path, body)
	if err != nil {
		return fmt.Errorf("ask the supervisor: %w", err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("ask the supervisor: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		const enough = 4096
		text, _ := io.ReadAll(io.LimitReader(response.Body, enough))
		return fmt.Errorf("supervisor: %s", text)
	}
	if read == nil {
		return nil
	}
	if err := read(response.Body); err != nil {
		return fmt.Errorf("read the supervisor's answer: %w", err)
	}
	return nil
}
