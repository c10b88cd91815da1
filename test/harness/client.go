package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	clientLoad  = "load"
	clientGuest = "guest"
	clientPlain = "plain"

	controlPort = 9090
)

// Client is a pod from which requests are sent. It is steered through the API server, so that the machine that runs
// the suite needs no route to the pods.
type Client struct {
	cluster   *Cluster
	namespace string
	app       string
	dials     bool
}

// Client is the usual client in a member. Its identity is `load-<member>`.
func (e *Env) Client(member string) Client {
	return Client{cluster: e.Cluster(member), namespace: DemoNamespace, app: clientLoad}
}

// Guest is a second client in a member, with another identity: `guest-<member>`.
func (e *Env) Guest(member string) Client {
	return Client{cluster: e.Cluster(member), namespace: DemoNamespace, app: clientGuest}
}

// Plain is a client outside the mesh.
func (e *Env) Plain(member string) Client {
	return Client{cluster: e.Cluster(member), namespace: PlainNamespace, app: clientPlain}
}

// Dialing is the same client, whose loads use a connection for one request only: they meet each change of who is listening.
func (c Client) Dialing() Client {
	c.dials = true
	return c
}

// String names the client in messages.
func (c Client) String() string { return c.app + " in " + c.cluster.Name }

// EchoURL is the address of the echo that all members serve together.
func EchoURL(path string) string { return serviceURL("echo", DemoNamespace, path) }

// EchoInURL is the address of the echo that only one member serves.
func EchoInURL(member, path string) string { return serviceURL("echo-"+member, DemoNamespace, path) }

// PlainURL is the address of the echo outside the mesh.
func PlainURL(path string) string { return serviceURL("echo", PlainNamespace, path) }

func serviceURL(name, namespace, path string) string {
	return fmt.Sprintf("http://%s.%s.svc.cluster.local:8080%s", name, namespace, path)
}

// Request is one request, or several of the same.
type Request struct {
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"`
	// Timeout of each. Default: 10 s.
	Timeout time.Duration `json:"-"`
	// Count of requests. Default: 1.
	Count int `json:"count,omitempty"`
	// Concurrency is how many are on their way at a time. Default: 1.
	Concurrency int `json:"concurrency,omitempty"`
	// NewConnection closes the connection after each.
	NewConnection bool `json:"newConnection,omitempty"`
}

// Answer is what came of one request.
type Answer struct {
	// Status is the HTTP status; 0 when there was no answer.
	Status int `json:"status"`
	// Error says why there was no answer.
	Error string `json:"error"`
	// DurationMs is the time until the answer or the error.
	DurationMs float64 `json:"durationMs"`
	// Body of the answer.
	Body string `json:"body"`
}

// Echo is what the echo server says of itself and of its caller.
type Echo struct {
	Cluster  string `json:"cluster"`
	Pod      string `json:"pod"`
	Version  string `json:"version"`
	Revision string `json:"revision"`
	// Caller is the SPIFFE ID of the caller as the server's proxy has verified it; empty for plaintext.
	Caller string `json:"callerSPIFFE"`
}

// OK tells whether the request was answered with 200.
func (a Answer) OK() bool { return a.Status == 200 }

// Echo decodes the body of an answer of the echo server.
func (a Answer) Echo() (Echo, error) {
	var e Echo
	if err := json.Unmarshal([]byte(a.Body), &e); err != nil {
		return e, fmt.Errorf("decode answer %q: %w", a.Body, err)
	}
	return e, nil
}

// String describes the answer in messages.
func (a Answer) String() string {
	if a.Status == 0 {
		return fmt.Sprintf("no answer after %.0f ms: %s", a.DurationMs, a.Error)
	}
	return fmt.Sprintf("status %d after %.0f ms", a.Status, a.DurationMs)
}

// sendPatience is how long a client may be restarting before Send gives up.
const sendPatience = 30 * time.Second

// Send sends the request Count times and returns every answer. The error is one of the steering, never of a request: when
// the pod goes before it has told its answers, all is sent again from the next one.
func (c Client) Send(ctx context.Context, r Request) ([]Answer, error) {
	var answers []Answer
	err := Await(ctx, "answers to "+c.String(), sendPatience, func(ctx context.Context) (bool, string, error) {
		var err error
		answers, err = c.send(ctx, r)
		return err == nil, "", err
	})
	return answers, err
}

// send sends a request from the pod that is there now.
func (c Client) send(ctx context.Context, r Request) ([]Answer, error) {
	if r.Count == 0 {
		r.Count = 1
	}
	if r.Timeout == 0 {
		r.Timeout = 10 * time.Second
	}
	body := struct {
		Request
		Timeout string `json:"timeout"`
	}{r, r.Timeout.String()}
	pod, err := c.pod(ctx)
	if err != nil {
		return nil, err
	}
	var out struct {
		Answers []Answer `json:"answers"`
	}
	if err := c.control(ctx, "POST", pod, "once", body, &out); err != nil {
		return nil, err
	}
	if len(out.Answers) != r.Count {
		return nil, fmt.Errorf("%s answered for %d of %d requests", c, len(out.Answers), r.Count)
	}
	return out.Answers, nil
}

// Get sends one request.
func (c Client) Get(ctx context.Context, url string) (Answer, error) {
	answers, err := c.Send(ctx, Request{URL: url})
	if err != nil {
		return Answer{}, err
	}
	return answers[0], nil
}

// pod finds the client's ready pod.
func (c Client) pod(ctx context.Context) (string, error) {
	pods := &corev1.PodList{}
	err := c.cluster.Client.List(ctx, pods, client.InNamespace(c.namespace), client.MatchingLabels{"app": c.app})
	if err != nil {
		return "", fmt.Errorf("find %s: %w", c, err)
	}
	for _, p := range pods.Items {
		if p.DeletionTimestamp == nil && isPodReady(&p) {
			return p.Name, nil
		}
	}
	return "", fmt.Errorf("find %s: no pod is ready", c)
}

// control calls the client's control API.
func (c Client) control(ctx context.Context, method, pod, path string, in, out any) error {
	request := c.cluster.Clientset.CoreV1().RESTClient().Verb(method).
		AbsPath("/api/v1/namespaces", c.namespace, "pods", fmt.Sprintf("%s:%d", pod, controlPort), "proxy", path)
	if in != nil {
		body, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode the order for %s: %w", c, err)
		}
		request = request.SetHeader("Content-Type", "application/json").Body(body)
	}
	raw, err := request.DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("steer %s: %w: %s", c, err, raw)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("read what %s says: %w", c, err)
	}
	return nil
}
