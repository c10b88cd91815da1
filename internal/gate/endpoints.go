package gate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/peercache"
)

const (
	// recent is how old the word of a peer may be that is believed while nothing speaks against it.
	recent = 10 * time.Second
	// hearing bounds how long peers are waited for.
	hearing = 5 * time.Second
)

// CountFunc says what a peer itself has, as of so long ago at most. With an age of zero, it is counted after the call.
type CountFunc func(ctx context.Context, peer string, age time.Duration) (peercache.Hosts, error)

// endpointsComplete passes when every istiod pod knows, for each service, exactly the addresses that each peer itself has,
// and every address of any cluster that the former revision knows. Endpoints come and go and reach every istiod at its own
// pace, so only what differs in every one of several looks counts.
func endpointsComplete(ctx context.Context, m *Member) (Answer, error) {
	pods, err := m.readyIstiods(ctx, m.To)
	if err != nil {
		return Answer{}, err
	}
	if len(pods) == 0 {
		// Peers need not count for nobody.
		return noIstiod(m.To), nil
	}
	c, err := settle(ctx, m.Witnesses, func(peers []string, age time.Duration) (comparison, error) {
		return m.lookAtEndpoints(ctx, peers, age)
	})
	if err != nil {
		return Answer{}, err
	}
	return judgeEndpoints(m, c), nil
}

// settle looks until no difference is left that every look has shown, or often enough. After the first look only those
// peers are heard again that are concerned, and what they say is newer than the look before.
func settle(ctx context.Context, peers []string, look func(peers []string, age time.Duration) (comparison, error)) (comparison, error) {
	c, err := look(peers, recent)
	if err != nil {
		return comparison{}, err
	}
	for n := 1; n < looks && len(c.differences) > 0; n++ {
		if err := pause(ctx, time.Second); err != nil {
			return comparison{}, err
		}
		next, err := look(c.concerned(), 0)
		if err != nil {
			return comparison{}, err
		}
		c = c.confirmed(next)
	}
	return c, nil
}

// lookAtEndpoints hears peers, and then asks the istiods of both revisions: what they lack now of what a peer had before
// is late at least.
func (m *Member) lookAtEndpoints(ctx context.Context, peers []string, age time.Duration) (comparison, error) {
	said, silent := m.hear(ctx, peers, age)
	var former map[string]map[string]istiod.Shards
	var err error
	if m.From != "" {
		if former, err = askAll(ctx, m, m.From, istiod.Endpoints); err != nil {
			return comparison{}, err
		}
	}
	answers, err := askAll(ctx, m, m.To, istiod.Endpoints)
	if err != nil {
		return comparison{}, err
	}
	newest, err := m.newestIstiod(ctx, m.To)
	if err != nil {
		return comparison{}, err
	}
	c := compare(former, answers, said)
	c.silent, c.isFresh = silent, m.now.Sub(newest) <= readGrace
	return c, nil
}

// hear lets peers say what they have, all at the same time. For those that do not it returns why.
func (m *Member) hear(ctx context.Context, peers []string, age time.Duration) (said map[string]peercache.Hosts, silent map[string]string) {
	ctx, cancel := context.WithTimeout(ctx, hearing)
	defer cancel()
	answers, errs := make([]peercache.Hosts, len(peers)), make([]error, len(peers))
	var wg sync.WaitGroup
	for i, peer := range peers {
		wg.Go(func() { answers[i], errs[i] = m.Count(ctx, peer, age) })
	}
	wg.Wait()
	said, silent = map[string]peercache.Hosts{}, map[string]string{}
	for i, peer := range peers {
		switch {
		case errors.Is(errs[i], context.DeadlineExceeded):
			silent[peer] = fmt.Sprintf("no answer in %s", hearing)
		case errs[i] != nil:
			silent[peer] = shorten(oneLine(errs[i].Error()), 200)
		default:
			said[peer] = answers[i]
		}
	}
	return said, silent
}
