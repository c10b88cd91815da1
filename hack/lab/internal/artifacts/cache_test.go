package artifacts

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fakeRecipe builds a file with the given content and counts its builds.
func fakeRecipe(content *string, builds *atomic.Int32, needs ...Name) recipe {
	return recipe{
		ref: "lab.local/fake:1", needs: needs,
		inputs: func(context.Context, *session) ([]string, error) { return []string{"content " + *content}, nil },
		build: func(_ context.Context, s *session, out string) error {
			builds.Add(1)
			time.Sleep(20 * time.Millisecond)
			return os.WriteFile(out, []byte(*content), 0o600)
		},
	}
}

func TestEnsureBuildsOnlyWhatChanged(t *testing.T) {
	b := &Builder{CacheDir: t.TempDir()}
	base, other := "one", "other"
	var baseBuilds, topBuilds, otherBuilds atomic.Int32
	top := "top"
	recipes := map[Name]recipe{
		"base":  fakeRecipe(&base, &baseBuilds),
		"top":   fakeRecipe(&top, &topBuilds, "base"),
		"other": fakeRecipe(&other, &otherBuilds),
	}
	ensure := func() []string {
		t.Helper()
		s := b.newSession(recipes)
		var paths []string
		for _, n := range []Name{"top", "other"} {
			path, err := s.ensure(t.Context(), n)
			if err != nil {
				t.Fatal(err)
			}
			paths = append(paths, path)
		}
		return paths
	}
	wantBuilds := func(base, top, other int32) {
		t.Helper()
		if baseBuilds.Load() != base || topBuilds.Load() != top || otherBuilds.Load() != other {
			t.Errorf("builds of base, top, other = %d, %d, %d, want %d, %d, %d",
				baseBuilds.Load(), topBuilds.Load(), otherBuilds.Load(), base, top, other)
		}
	}
	first := ensure()
	wantBuilds(1, 1, 1)
	if again := ensure(); !slices.Equal(first, again) {
		t.Errorf("paths changed from %v to %v without a reason", first, again)
	}
	wantBuilds(1, 1, 1)

	base = "two" // which top is made of
	changed := ensure()
	wantBuilds(2, 2, 1)
	if changed[0] == first[0] || changed[1] != first[1] {
		t.Errorf("paths changed from %v to %v, want only the first to change", first, changed)
	}
	base = "one"
	if back := ensure(); !slices.Equal(first, back) {
		t.Errorf("paths are %v after going back, want %v", back, first)
	}
	wantBuilds(2, 2, 1)
}

func TestEnsureFailedBuildLeavesNothing(t *testing.T) {
	b := &Builder{CacheDir: t.TempDir()}
	broken := errors.New("broken")
	fail := true
	recipes := map[Name]recipe{"x": {build: func(_ context.Context, _ *session, out string) error {
		if err := os.MkdirAll(out, 0o755); err != nil {
			return err
		}
		if fail {
			return broken
		}
		return nil
	}}}
	if _, err := b.newSession(recipes).ensure(t.Context(), "x"); !errors.Is(err, broken) {
		t.Fatalf("ensure() = %v, want the build's error", err)
	}
	entries, err := os.ReadDir(filepath.Join(b.CacheDir, "x"))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != ".lock" {
		t.Errorf("the cache holds %v after a failed build, want the lock only", entries)
	}
	fail = false
	if _, err := b.newSession(recipes).ensure(t.Context(), "x"); err != nil {
		t.Errorf("ensure() = %v after the cause was removed, want no error", err)
	}
}

func TestEnsureBuildsOnceForTwoProcesses(t *testing.T) {
	content := "c"
	var builds atomic.Int32
	recipes := map[Name]recipe{"x": fakeRecipe(&content, &builds)}
	cache := t.TempDir()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			// A session of its own opens the lock by itself, as another process does.
			if _, err := (&Builder{CacheDir: cache}).newSession(recipes).ensure(t.Context(), "x"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if builds.Load() != 1 {
		t.Errorf("built %d times, want once", builds.Load())
	}
}

func TestLockEndsWithContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".lock")
	unlock, err := lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := lock(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("lock() = %v, want the context's error", err)
	}
}

func TestPruneKeepsTheLastUsed(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	for i, name := range []string{"a", "b.tar", "c", "d", ".lock"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		age := now.Add(-time.Duration(i) * time.Hour)
		if err := os.Chtimes(path, age, age); err != nil {
			t.Fatal(err)
		}
	}
	if err := prune(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{".lock", "a", "b.tar"}; !slices.Equal(names, want) {
		t.Errorf("left are %v, want %v", names, want)
	}
}

func TestEnsureUnknown(t *testing.T) {
	b := &Builder{CacheDir: t.TempDir()}
	if _, err := b.Ensure(t.Context(), ImagePilot("0.1.0")); err == nil {
		t.Error("Ensure() built a release that it does not know")
	}
}
