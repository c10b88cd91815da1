//go:build linux

package node

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/control"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/nodeconfig"
)

const (
	// stopGrace is short on purpose: stopping a component is how tests make it fail.
	stopGrace = 3 * time.Second
	// A component that ran this long is restarted at once; one that keeps dying waits longer each time.
	stableAfter = 10 * time.Second
	firstDelay  = 100 * time.Millisecond
	maxDelay    = 5 * time.Second
)

// component keeps one process in the state that was asked for.
type component struct {
	plan   nodeconfig.Component
	env    []string
	logs   string
	reaper *reaper

	mu     sync.Mutex
	wanted bool
	status control.ComponentStatus
	// changed is closed and replaced at every change of wanted or status.
	changed chan struct{}
}

func newComponent(plan nodeconfig.Component, env []string, logs string, reaper *reaper) *component {
	return &component{
		plan: plan, env: env, logs: logs, reaper: reaper,
		status: control.ComponentStatus{Name: plan.Name}, changed: make(chan struct{}),
	}
}

// update changes the component under its lock and wakes everyone who waits for a change.
func (c *component) update(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *component) observe() (status control.ComponentStatus, wanted bool, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status, c.wanted, c.changed
}

// run never returns.
func (c *component) run() {
	delay := time.Duration(0)
	for {
		c.awaitWanted()
		started := time.Now()
		exit := c.runOnce()
		_, wanted, _ := c.observe()
		c.update(func() {
			c.status.Running, c.status.PID, c.status.LastExit = false, 0, exit
			c.status.Since = time.Now()
			if wanted {
				c.status.Restarts++
			}
		})
		log.Printf("%s ended: %s", c.plan.Name, exit)
		switch {
		case time.Since(started) > stableAfter || !wanted:
			delay = 0
		case delay == 0:
			delay = firstDelay
		default:
			delay = min(2*delay, maxDelay)
		}
		time.Sleep(delay)
	}
}

func (c *component) awaitWanted() {
	for {
		_, wanted, changed := c.observe()
		if wanted {
			return
		}
		<-changed
	}
}

// runOnce starts the process and returns how it ended, by itself or because it is no longer wanted.
func (c *component) runOnce() string {
	output, err := os.OpenFile(filepath.Join(c.logs, c.plan.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = output.Close() }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = null.Close() }()
	pid, exited, err := c.reaper.start(command{
		args: c.plan.Args, env: c.env, stdin: null, stdout: output, stderr: output,
	})
	if err != nil {
		return err.Error()
	}
	c.update(func() { c.status.Running, c.status.PID, c.status.Since = true, pid, time.Now() })
	for {
		_, wanted, changed := c.observe()
		if !wanted {
			return terminate(pid, exited)
		}
		select {
		case status := <-exited:
			return describe(status)
		case <-changed:
		}
	}
}

// terminate is safe against reuse of the pid: only the reaper frees it, right before the channel yields.
func terminate(pid int, exited <-chan syscall.WaitStatus) string {
	_ = syscall.Kill(pid, syscall.SIGTERM)
	select {
	case status := <-exited:
		return describe(status)
	case <-time.After(stopGrace):
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	return describe(<-exited)
}

// start returns when the process runs.
func (c *component) start(ctx context.Context) error {
	c.update(func() { c.wanted, c.status.Stopped = true, false })
	return c.await(ctx, true)
}

// stop returns when the process has ended.
func (c *component) stop(ctx context.Context) error {
	c.update(func() { c.wanted, c.status.Stopped = false, true })
	return c.await(ctx, false)
}

func (c *component) restart(ctx context.Context) error {
	if err := c.stop(ctx); err != nil {
		return err
	}
	return c.start(ctx)
}

func (c *component) await(ctx context.Context, running bool) error {
	for {
		status, wanted, changed := c.observe()
		if status.Running == running || wanted != running {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", c.plan.Name, ctx.Err())
		}
	}
}
