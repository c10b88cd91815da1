//go:build linux

package proc

import (
	"os/exec"
	"testing"
)

func TestKillEndsOnlyTheNamedProcess(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	id, err := Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	id.PIDNamespace = 0 // it shares ours, which never becomes empty

	reused := id
	reused.StartTime++
	if reused.IsAlive() {
		t.Error("a process with another start time counts as the same one")
	}
	if err := reused.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !id.IsAlive() {
		t.Fatal("killing a reused pid ended the new owner")
	}

	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	if err := id.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("process ended without a signal")
	}
	if id.IsAlive() {
		t.Error("process is alive after Kill")
	}
}
