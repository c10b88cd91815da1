//go:build linux

package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/network"
)

// actionLimit bounds starting or stopping one component.
const actionLimit = 30 * time.Second

// Link connects a cluster to the others and to the host, or cuts it off. The cluster itself goes on working.
func (e *Engine) Link(name string, up bool) error {
	if err := e.requireRunning(name); err != nil {
		return err
	}
	if err := network.SetLink(name, up); err != nil {
		return err
	}
	e.progress("%s: link %s", name, upOrDown(up))
	return nil
}

// Component starts, stops or restarts one component of a node. A stopped one stays down until it is started.
func (e *Engine) Component(ctx context.Context, action, name, component string) error {
	if err := e.requireRunning(name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, actionLimit)
	defer cancel()
	if err := e.supervisor(name).Do(ctx, action, component); err != nil {
		return fmt.Errorf("%s %s of cluster %q: %w", action, component, name, err)
	}
	e.progress("%s: %s: %s done", name, component, action)
	return nil
}

func upOrDown(up bool) string {
	if up {
		return "up"
	}
	return "down"
}
