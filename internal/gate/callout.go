package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"k8s.io/utils/ptr"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

const (
	// webhookInterval is the pace of a webhook that says yes, webhookAgain of one that does not.
	webhookInterval, webhookAgain = 30 * time.Second, 5 * time.Second
	webhookRetries                = 2
)

// callout asks a server of the user's. docs/gates.md has the contract.
type callout struct {
	name string
	spec *meshv1alpha1.WebhookGate
	// pause is the time between tries.
	pause time.Duration
}

func newCallout(name string, spec *meshv1alpha1.WebhookGate) Gate {
	interval := durationOr(spec.Interval, webhookInterval)
	return paced{name: name, ask: callout{name, spec, time.Second}.ask, wait: func(last meshv1alpha1.Verdict) time.Duration {
		if last == meshv1alpha1.VerdictPass {
			return interval
		}
		return min(interval, webhookAgain)
	}}
}

// request is what a server is told.
type request struct {
	Gate         string   `json:"gate"`
	Namespace    string   `json:"namespace"`
	Installation string   `json:"installation"`
	Upgrade      string   `json:"upgrade"`
	Member       string   `json:"member"`
	Stage        string   `json:"stage"`
	From         string   `json:"from"`
	To           string   `json:"to"`
	Versions     versions `json:"versions"`
}

type versions struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// response is what a server answers. Value is a string or a number.
type response struct {
	Verdict meshv1alpha1.Verdict `json:"verdict"`
	Message string               `json:"message"`
	Value   json.RawMessage      `json:"value"`
}

func (c callout) ask(ctx context.Context, m *Member, _ *meshv1alpha1.GateResult) (Answer, error) {
	body, err := json.Marshal(request{
		Gate: c.name, Namespace: m.Mesh.Namespace, Installation: m.Mesh.Name, Upgrade: m.Upgrade, Member: m.Cluster,
		Stage: string(m.Stage), From: m.From, To: m.To, Versions: versions{m.FromVersion, m.ToVersion},
	})
	if err != nil {
		return Answer{}, err
	}
	target, err := connect(ctx, m, c.spec.GateServer)
	if err != nil {
		return Answer{}, err
	}
	defer target.CloseIdleConnections()
	for try := int32(0); ; try++ {
		a, isWorthAnother, err := c.post(ctx, target, body)
		if err == nil || !isWorthAnother || try >= ptr.Deref(c.spec.Retries, webhookRetries) {
			return a, err
		}
		if pause(ctx, c.pause) != nil {
			return Answer{}, err
		}
	}
}

// post asks once.
func (c callout) post(ctx context.Context, target server, body []byte) (a Answer, isWorthAnother bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.url, bytes.NewReader(body))
	if err != nil {
		return Answer{}, false, plain(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := target.Do(req)
	if err != nil {
		return Answer{}, true, plain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		isBusy := resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= http.StatusInternalServerError
		return Answer{}, isBusy, fmt.Errorf("the server answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	var said response
	if err := json.NewDecoder(resp.Body).Decode(&said); err != nil {
		return Answer{}, false, fmt.Errorf("the answer is not what the contract says: %w", err)
	}
	a, err = said.answer()
	return a, false, err
}

func (r response) answer() (Answer, error) {
	switch r.Verdict {
	case meshv1alpha1.VerdictPass, meshv1alpha1.VerdictFail, meshv1alpha1.VerdictPending, meshv1alpha1.VerdictInconclusive:
	default:
		return Answer{}, fmt.Errorf("the answer has the verdict %q; it must be Pass, Fail, Pending or Inconclusive", shorten(string(r.Verdict), 40))
	}
	a := Answer{Verdict: r.Verdict, Message: r.Message}
	var text string
	var figure json.Number
	switch {
	case len(r.Value) == 0 || string(r.Value) == "null":
	case json.Unmarshal(r.Value, &text) == nil:
		a.Value = shorten(strings.Join(strings.Fields(text), " "), 64)
	case json.Unmarshal(r.Value, &figure) == nil:
		a.Value = shorten(figure.String(), 64)
	default:
		return Answer{}, fmt.Errorf("the value of the answer is neither a string nor a number")
	}
	return a, nil
}
