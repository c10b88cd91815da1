//go:build linux

package node

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// reaper is the only caller of wait in this process. As pid 1 it inherits every orphan of the node, mostly shims of
// containers, and a second waiter (os/exec, for example) would compete with it for the same exits.
type reaper struct {
	mu      sync.Mutex
	waiting map[int]chan syscall.WaitStatus
}

// command is a process to start.
type command struct {
	args, env             []string
	stdin, stdout, stderr *os.File
}

func newReaper() *reaper {
	r := &reaper{waiting: map[int]chan syscall.WaitStatus{}}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGCHLD)
	go func() {
		// Signals coalesce; the ticker catches whatever slips through.
		for ticker := time.NewTicker(time.Second); ; {
			select {
			case <-signals:
			case <-ticker.C:
			}
			r.collect()
		}
	}()
	return r
}

// start runs a command in a session of its own. The channel yields its exit, once.
func (r *reaper) start(c command) (int, <-chan syscall.WaitStatus, error) {
	// The lock keeps the exit of a short-lived child from being collected before anyone waits for it.
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(c.args[0], c.args, &syscall.ProcAttr{
		Dir:   "/",
		Env:   c.env,
		Files: []uintptr{c.stdin.Fd(), c.stdout.Fd(), c.stderr.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, nil, fmt.Errorf("start %s: %w", c.args[0], err)
	}
	exited := make(chan syscall.WaitStatus, 1)
	r.waiting[pid] = exited
	return pid, exited, nil
}

func (r *reaper) collect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if exited, ok := r.waiting[pid]; ok {
			exited <- status
			delete(r.waiting, pid)
		}
	}
}

func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "signal " + status.Signal().String()
	}
	return fmt.Sprintf("exit code %d", status.ExitStatus())
}
