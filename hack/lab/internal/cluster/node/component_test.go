//go:build linux

package node

import (
	"syscall"
	"testing"
	"time"

	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/control"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/nodeconfig"
)

// children is shared: two reapers in one process would compete.
var children = newReaper()

func startComponent(t *testing.T, args ...string) *component {
	t.Helper()
	c := newComponent(nodeconfig.Component{Name: "test", Args: args}, nil, t.TempDir(), children)
	go c.run()
	if err := c.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.stop(t.Context()) })
	return c
}

// awaitStatus fails the test when the status does not come in time.
func awaitStatus(t *testing.T, c *component, want func(control.ComponentStatus) bool) control.ComponentStatus {
	t.Helper()
	timeout := time.After(5 * time.Second)
	for {
		status, _, changed := c.observe()
		if want(status) {
			return status
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("status stays %+v", status)
		}
	}
}

func TestDeadComponentIsRestarted(t *testing.T) {
	c := startComponent(t, "/bin/sleep", "60")
	before, _, _ := c.observe()
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	after := awaitStatus(t, c, func(s control.ComponentStatus) bool { return s.Running && s.Restarts == 1 })
	if after.PID == before.PID {
		t.Error("the process is still the same")
	}
	if after.LastExit != "signal killed" {
		t.Errorf("last exit = %q, want %q", after.LastExit, "signal killed")
	}
}

func TestStoppedComponentStaysDown(t *testing.T) {
	c := startComponent(t, "/bin/sleep", "60")
	running, _, _ := c.observe()
	if err := c.stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(running.PID, 0); err == nil {
		t.Error("the process still runs")
	}
	status, _, _ := c.observe()
	if status.Running || !status.Stopped || status.Restarts != 0 {
		t.Errorf("status = %+v, want stopped without a restart", status)
	}
	if err := c.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := c.observe(); !status.Running || status.Stopped {
		t.Errorf("status = %+v, want running", status)
	}
}

func TestComponentThatIgnoresTheSignalIsKilled(t *testing.T) {
	c := startComponent(t, "/bin/sh", "-c", "trap '' TERM; while :; do /bin/sleep 1; done")
	time.Sleep(100 * time.Millisecond) // let the shell set its trap
	if err := c.stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := c.observe(); status.LastExit != "signal killed" {
		t.Errorf("last exit = %q, want %q", status.LastExit, "signal killed")
	}
}
