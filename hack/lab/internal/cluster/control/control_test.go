//go:build linux

package control

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

type fakeSupervisor struct {
	image string
	did   string
}

func (f *fakeSupervisor) Status() Status {
	return Status{APIReady: true, Components: []ComponentStatus{{Name: "etcd", Running: true, Restarts: 2}}}
}

func (f *fakeSupervisor) Do(_ context.Context, action, component string) error {
	if component == "unknown" {
		return errors.New("no component")
	}
	f.did = action + " " + component
	return nil
}

func (f *fakeSupervisor) ImportImage(_ context.Context, archive io.Reader) error {
	raw, err := io.ReadAll(archive)
	f.image = string(raw)
	return err
}

func TestConversation(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	fake := &fakeSupervisor{}
	go func() { _ = Serve(listener, fake) }()
	client := NewClient(socket)

	status, err := client.Status(t.Context())
	if err != nil || !status.APIReady || len(status.Components) != 1 || status.Components[0].Restarts != 2 {
		t.Errorf("Status = %+v, %v, want what the supervisor said", status, err)
	}
	if err := client.Do(t.Context(), Restart, "kube-apiserver"); err != nil || fake.did != "restart kube-apiserver" {
		t.Errorf("Do: error %v, supervisor did %q", err, fake.did)
	}
	if err := client.Do(t.Context(), Stop, "unknown"); err == nil || !strings.Contains(err.Error(), "no component") {
		t.Errorf("Do on an unknown component: %v, want the supervisor's error", err)
	}
	if err := client.ImportImage(t.Context(), strings.NewReader("archive")); err != nil || fake.image != "archive" {
		t.Errorf("ImportImage: error %v, supervisor got %q", err, fake.image)
	}
}

func TestClientReportsADeadSupervisor(t *testing.T) {
	if _, err := NewClient(filepath.Join(t.TempDir(), "none")).Status(t.Context()); err == nil {
		t.Error("Status without a supervisor succeeded")
	}
}
