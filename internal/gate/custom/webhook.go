package custom

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
	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

const (
	// webhookInterval is the pace of a webhook that passes, webhookAgain of one that does not.
	webhookInterval, webhookAgain = 30 * time.Second, 5 * time.Second
	webhookRetries                = 2
)

// webhookGate calls a server of the user's. docs/gates.md has the contract.
type webhookGate struct {
	name string
	spec *meshv1alpha1.WebhookGate
}

func newWebhookGate(name string, spec *meshv1alpha1.WebhookGate) gate.Gate {
	interval := durationOr(spec.Interval, webhookInterval)
	wait := func(last meshv1alpha1.Verdict) time.Duration {
		if last == meshv1alpha1.VerdictPass {
			return interval
		}
		return min(interval, webhookAgain)
	}
	return gate.NewPaced(name, wait, webhookGate{name, spec}.ask)
}

// request is the body that a server gets.
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

// response is the answer of a server. Value is a string or a number.
type response struct {
	Verdict meshv1alpha1.Verdict `json:"verdict"`
	Message string               `json:"message"`
	Value   json.RawMessage      `json:"value"`
}

func (c webhookGate) ask(ctx context.Context, m *gate.Subject, _ *meshv1alpha1.GateResult) (gate.Answer, error) {
	body, err := json.Marshal(request{
		Gate: c.name, Namespace: m.Mesh.Namespace, Installation: m.Mesh.Name, Upgrade: m.Upgrade, Member: m.Cluster,
		Stage: string(m.Stage), From: m.From, To: m.To, Versions: versions{m.FromVersion, m.ToVersion},
	})
	if err != nil {
		return gate.Answer{}, err
	}
	target, err := connect(ctx, m, c.spec.GateServer)
	if err != nil {
		return gate.Answer{}, err
	}
	defer target.CloseIdleConnections()
	a, isWorthAnother, err := c.post(ctx, target, body)
	failed := ptr.Deref(gate.Recall[int32](m, c.name), 0) + 1
	retries := ptr.Deref(c.spec.Retries, webhookRetries)
	if err == nil || !isWorthAnother {
		gate.Note[int32](m, c.name, nil)
		return a, err
	}
	gate.Note(m, c.name, &failed)
	if failed <= retries {
		return gate.Pending("request %d of %d: %s; asks again", failed, retries+1, err), nil
	}
	return gate.Answer{}, err
}

// post asks once.
func (c webhookGate) post(ctx context.Context, target server, body []byte) (a gate.Answer, isWorthAnother bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target.url, bytes.NewReader(body))
	if err != nil {
		return gate.Answer{}, false, plain(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := target.Do(req)
	if err != nil {
		return gate.Answer{}, true, plain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		isBusy := resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= http.StatusInternalServerError
		return gate.Answer{}, isBusy, fmt.Errorf("the server answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	var answer response
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return gate.Answer{}, false, fmt.Errorf("the answer does not match the contract: %w", err)
	}
	a, err = answer.answer()
	return a, false, err
}

func (r response) answer() (gate.Answer, error) {
	switch r.Verdict {
	case meshv1alpha1.VerdictPass, meshv1alpha1.VerdictFail, meshv1alpha1.VerdictPending, meshv1alpha1.VerdictInconclusive:
	default:
		return gate.Answer{}, fmt.Errorf("the answer has the verdict %q; it must be Pass, Fail, Pending or Inconclusive", mesh.Shorten(string(r.Verdict), 40))
	}
	a := gate.Answer{Verdict: r.Verdict, Message: r.Message}
	var text string
	var figure json.Number
	switch {
	case len(r.Value) == 0 || string(r.Value) == "null":
	case json.Unmarshal(r.Value, &text) == nil:
		a.Value = mesh.Shorten(strings.Join(strings.Fields(text), " "), 64)
	case json.Unmarshal(r.Value, &figure) == nil:
		a.Value = mesh.Shorten(figure.String(), 64)
	default:
		return gate.Answer{}, fmt.Errorf("the value of the answer is neither a string nor a number")
	}
	return a, nil
}
