//go:build linux

package state

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/proc"
)

func openTemp(t *testing.T) *Store {
	t.Helper()
	store, err := Open(filepath.Join(t.TempDir(), "lab"))
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestRecordsSurviveReopening(t *testing.T) {
	store := openTemp(t)
	want := Record{
		Name: "east", Index: 1, Ready: true, Images: map[string]string{"lab.local/pause:1": "/cache/pause.tar"}, Out: "/out",
		Process: proc.Identity{PID: 7, StartTime: 8, PIDNamespace: 9},
	}
	if _, err := store.Load("east"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("Load of a missing record: %v, want not exist", err)
	}
	if err := store.Dir("east").Create(); err != nil {
		t.Fatal(err)
	}
	if err := store.Save(want); err != nil {
		t.Fatal(err)
	}
	again, err := Open(store.Root())
	if err != nil {
		t.Fatal(err)
	}
	got, err := again.Load("east")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Load = %+v, want %+v", got, want)
	}
	names, err := again.Clusters()
	if err != nil || !reflect.DeepEqual(names, []string{"east"}) {
		t.Errorf("Clusters = %v, %v, want [east]", names, err)
	}
}

func TestClustersIncludesThoseWithoutRecord(t *testing.T) {
	store := openTemp(t)
	if err := os.Mkdir(string(store.Dir("west")), 0o700); err != nil {
		t.Fatal(err)
	}
	names, err := store.Clusters()
	if err != nil || !reflect.DeepEqual(names, []string{"west"}) {
		t.Errorf("Clusters = %v, %v, want [west]", names, err)
	}
}

func TestHostRecord(t *testing.T) {
	store := openTemp(t)
	want := Host{Sysctls: map[string]string{"kernel.panic": "0"}}
	if err := store.SaveHost(want); err != nil {
		t.Fatal(err)
	}
	if got, err := store.LoadHost(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("LoadHost = %v, %v, want %v", got, err, want)
	}
	for range 2 {
		if err := store.RemoveHost(); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := store.LoadHost(); err != nil || len(got.Sysctls) != 0 {
		t.Errorf("LoadHost after removal = %v, %v, want nothing", got, err)
	}
}

func TestLockExcludesOthers(t *testing.T) {
	store := openTemp(t)
	unlock, err := store.Lock(t.Context(), func() { t.Error("waited for a free lock") })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	waited := false
	if _, err := store.Lock(ctx, func() { waited = true }); !errors.Is(err, context.DeadlineExceeded) || !waited {
		t.Errorf("second Lock: error %v, waited %v; want deadline exceeded after waiting", err, waited)
	}
	unlock()
	unlock, err = store.Lock(t.Context(), func() { t.Error("waited for a released lock") })
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestOpenRefusesALink(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "lab")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(link); err == nil {
		t.Error("Open followed a symbolic link")
	}
}
