//go:build linux

// Package proc identifies and ends processes. A pid alone is never trusted: the kernel reuses it, and a record on disk
// may be older than the last reboot. A process is named by its pid together with its start time.
package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Identity names one process for as long as the machine runs.
type Identity struct {
	PID int `json:"pid"`
	// StartTime is in clock ticks since boot.
	StartTime uint64 `json:"startTime"`
	// PIDNamespace is the inode of the pid namespace that the process lives in.
	PIDNamespace uint64 `json:"pidNamespace"`
}

// Identify returns the identity of a running process.
func Identify(pid int) (Identity, error) {
	start, _, err := stat(pid)
	if err != nil {
		return Identity{}, err
	}
	namespace, err := pidNamespace(pid)
	if err != nil {
		return Identity{}, err
	}
	return Identity{PID: pid, StartTime: start, PIDNamespace: namespace}, nil
}

// IsAlive reports whether exactly this process still runs. A zombie does not count: it holds no resource.
func (id Identity) IsAlive() bool {
	if id.PID <= 0 {
		return false
	}
	start, state, err := stat(id.PID)
	return err == nil && start == id.StartTime && state != 'Z' && state != 'X'
}

// Kill ends the process with SIGKILL and waits until its whole pid namespace is empty. The kernel kills every process of
// a pid namespace with its first one, so nothing else has to be looked for.
func (id Identity) Kill(ctx context.Context) error {
	if id.IsAlive() {
		if err := id.signal(unix.SIGKILL); err != nil {
			return err
		}
	}
	for {
		left, err := members(id.PIDNamespace)
		if err != nil {
			return err
		}
		if len(left) == 0 && !id.IsAlive() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("processes %v of pid namespace %d do not end: %w", left, id.PIDNamespace, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// signal goes through a pidfd: between opening it and checking the start time the pid cannot change its owner.
func (id Identity) signal(signal unix.Signal) error {
	fd, err := unix.PidfdOpen(id.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open process %d: %w", id.PID, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if !id.IsAlive() {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal process %d: %w", id.PID, err)
	}
	return nil
}

// FindInits returns the first processes of pid namespaces whose arguments, without the program's name, start with args.
// It finds the clusters whose records were lost.
func FindInits(args ...string) (map[string]Identity, error) {
	found := map[string]Identity{}
	err := each(func(pid int) {
		raw, err := os.ReadFile(procPath(pid, "cmdline"))
		if err != nil {
			return
		}
		fields := strings.Split(strings.TrimRight(string(raw), "\x00"), "\x00")
		if len(fields) != len(args)+2 || !equal(fields[1:len(args)+1], args) || !isFirst(pid) {
			return
		}
		if id, err := Identify(pid); err == nil && id.IsAlive() {
			found[fields[len(fields)-1]] = id
		}
	})
	return found, err
}

func equal(a, b []string) bool {
	for i := range b {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// isFirst reports whether the process is pid 1 of a namespace below ours.
func isFirst(pid int) bool {
	raw, err := os.ReadFile(procPath(pid, "status"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "NSpid:"); ok {
			ids := strings.Fields(rest)
			return len(ids) > 1 && ids[len(ids)-1] == "1"
		}
	}
	return false
}

func members(namespace uint64) ([]int, error) {
	var left []int
	if namespace == 0 {
		return nil, nil
	}
	err := each(func(pid int) {
		inode, err := pidNamespace(pid)
		if err != nil || inode != namespace {
			return
		}
		if _, state, err := stat(pid); err == nil && state != 'Z' && state != 'X' {
			left = append(left, pid)
		}
	})
	return left, err
}

func each(visit func(pid int)) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			visit(pid)
		}
	}
	return nil
}

func pidNamespace(pid int) (uint64, error) {
	link, err := os.Readlink(procPath(pid, "ns/pid"))
	if err != nil {
		return 0, fmt.Errorf("read pid namespace: %w", err)
	}
	inode := strings.TrimSuffix(strings.TrimPrefix(link, "pid:["), "]")
	return strconv.ParseUint(inode, 10, 64)
}

// stat reads the start time and the state. The program's name may hold spaces and parentheses, so fields are counted
// from the last closing one.
func stat(pid int) (start uint64, state byte, err error) {
	raw, err := os.ReadFile(procPath(pid, "stat"))
	if err != nil {
		return 0, 0, fmt.Errorf("read process %d: %w", pid, err)
	}
	const startTimeAfterName = 19
	end := bytes.LastIndexByte(raw, ')')
	fields := strings.Fields(string(raw[end+1:]))
	if end < 0 || len(fields) <= startTimeAfterName {
		return 0, 0, fmt.Errorf("read process %d: unexpected format", pid)
	}
	start, err = strconv.ParseUint(fields[startTimeAfterName], 10, 64)
	return start, fields[0][0], err
}

func procPath(pid int, name string) string {
	return "/proc/" + strconv.Itoa(pid) + "/" + name
}
