package builtin

import (
	"context"
	"sync"
	"time"

	"github.com/meshfleet/meshfleet/internal/gate"
	"github.com/meshfleet/meshfleet/internal/gate/builtin/endpoints"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/peercache"
)

// endpointsCompleteName is the gate's name in the API.
const endpointsCompleteName = "EndpointsComplete"

// endpointsComplete passes when every istiod pod knows, for each service, exactly the addresses that each peer itself has,
// and every address of any cluster that the former revision knows. Endpoints come and go and reach every istiod at its own
// pace, so only what differs in every one of several looks counts. Each look is a pass of its own.
func endpointsComplete(ctx context.Context, m *gate.Subject) (gate.Answer, error) {
	pods, err := readyIstiods(ctx, m, m.To)
	if err != nil {
		return gate.Answer{}, err
	}
	if len(pods) == 0 {
		// Reports of peers would be for nothing.
		return gate.NoIstiod(m.To), nil
	}
	before := gate.Recall[endpoints.Comparison](m, endpointsCompleteName)
	peers, age := before.ToAsk(m.ReportingPeers)
	c, err := lookAtEndpoints(ctx, m, peers, age)
	if err != nil {
		return gate.Answer{}, err
	}
	c = before.Confirmed(c)
	if c.Differs() {
		gate.Note(m, endpointsCompleteName, &c)
	} else {
		gate.Note[endpoints.Comparison](m, endpointsCompleteName, nil)
	}
	if c.IsOpen() {
		return m.Unconfirmed(endpointsCompleteName, "%s; looks again", c.Differences()), nil
	}
	return endpoints.Judge(m, c), nil
}

// lookAtEndpoints asks the peers first, and then the istiods of both revisions: what they lack now of what a peer had
// before is late at least.
func lookAtEndpoints(ctx context.Context, m *gate.Subject, peers []string, age time.Duration) (endpoints.Comparison, error) {
	reports, noAnswer := peerReports(ctx, m, peers, age)
	var former map[string]map[string]istiod.Shards
	var err error
	if m.From != "" {
		if former, err = askAll(ctx, m, m.From, istiod.Endpoints); err != nil {
			return endpoints.Comparison{}, err
		}
	}
	answers, err := askAll(ctx, m, m.To, istiod.Endpoints)
	if err != nil {
		return endpoints.Comparison{}, err
	}
	newest, err := newestIstiod(ctx, m, m.To)
	if err != nil {
		return endpoints.Comparison{}, err
	}
	c := endpoints.Compare(former, answers, reports)
	c.NoAnswer, c.IsFresh = noAnswer, m.Now.Sub(newest) <= readGrace
	return c, nil
}

// peerReports asks peers for their own endpoints, all at the same time. Each has a deadline that grows with the peer, see
// peercache.Cache. NoAnswer has the reason for each one without a report.
func peerReports(ctx context.Context, m *gate.Subject, peers []string, age time.Duration) (reports map[string]peercache.Hosts, noAnswer map[string]string) {
	answers, errs := make([]peercache.Hosts, len(peers)), make([]error, len(peers))
	var wg sync.WaitGroup
	for i, peer := range peers {
		wg.Go(func() { answers[i], errs[i] = m.Count(ctx, peer, age) })
	}
	wg.Wait()
	reports, noAnswer = map[string]peercache.Hosts{}, map[string]string{}
	for i, peer := range peers {
		if errs[i] != nil {
			noAnswer[peer] = mesh.Shorten(gate.OneLine(errs[i].Error()), 200)
			continue
		}
		reports[peer] = answers[i]
	}
	return reports, noAnswer
}
