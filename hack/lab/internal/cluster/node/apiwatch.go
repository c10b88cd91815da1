//go:build linux

package node

import (
	"context"
	"log"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
)

const (
	bootPoll   = 100 * time.Millisecond
	steadyPoll = time.Second
	probeLimit = 3 * time.Second
	// longOutage is when clients of the API server have backed off enough to be better restarted than waited for.
	longOutage = 15 * time.Second
)

// apiWatch follows the readiness of the API server: the first one starts the components that depend on it, and each one
// after a long outage restarts those that would otherwise sleep on.
type apiWatch struct {
	client     rest.Interface
	components []*component
	ready      atomic.Bool
}

func (w *apiWatch) isReady() bool { return w.ready.Load() }

func (w *apiWatch) run(ctx context.Context) {
	booted := false
	lastReady := time.Now()
	poll := bootPoll
	for {
		if w.probe(ctx) {
			outage := time.Since(lastReady)
			lastReady = time.Now()
			if !booted {
				log.Printf("API server is ready")
				w.startDependents()
				booted, poll = true, steadyPoll
			} else if outage > longOutage {
				log.Printf("API server is ready again after %s", outage.Round(time.Second))
				w.restartDependents(ctx)
			}
			w.ready.Store(true)
		} else {
			w.ready.Store(false)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(poll):
		}
	}
}

func (w *apiWatch) probe(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	return w.client.Get().AbsPath("/readyz").Do(ctx).Error() == nil
}

func (w *apiWatch) startDependents() {
	for _, c := range w.components {
		if c.plan.AfterAPI {
			c.update(func() { c.wanted = !c.status.Stopped })
		}
	}
}

// restartDependents leaves alone what a user has stopped.
func (w *apiWatch) restartDependents(ctx context.Context) {
	for _, c := range w.components {
		if _, wanted, _ := c.observe(); wanted && c.plan.RestartAfterOutage {
			if err := c.restart(ctx); err != nil {
				log.Printf("Restarting %s failed: %v", c.plan.Name, err)
			}
		}
	}
}
