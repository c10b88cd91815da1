package artifacts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meshfleet/meshfleet/hack/image/writer"
)

// recipeVersion is part of every key. Raise it when code of this package or of
// hack/image/writer changes what an artifact contains.
const recipeVersion = 1

// keepBuilds is how many builds of one artifact stay in the cache: the current
// one, and that of the branch one came from.
const keepBuilds = 2

// recipe tells how one artifact is made.
type recipe struct {
	// ref is the reference of an image; empty for a directory of binaries.
	ref string
	// needs are the artifacts it is made of; their keys are part of its key.
	needs []Name
	// inputs lists all else that decides its content, one line each.
	inputs func(context.Context, *session) ([]string, error)
	// build writes it to out, which does not exist yet.
	build func(ctx context.Context, s *session, out string) error
}

func (r recipe) suffix() string {
	if r.ref != "" {
		return ".tar"
	}
	return ""
}

// session is one call of Ensure. It remembers what it learnt: inputs are
// files and installed packages, which do not change meanwhile.
type session struct {
	*Builder
	recipes   map[Name]recipe
	goVersion string
	runtime   []writer.File
	keys      map[Name]string
	paths     map[Name]string
}

func (b *Builder) newSession(recipes map[Name]recipe) *session {
	return &session{Builder: b, recipes: recipes, keys: map[Name]string{}, paths: map[Name]string{}}
}

func (s *session) ensure(ctx context.Context, n Name) (string, error) {
	if path, ok := s.paths[n]; ok {
		return path, nil
	}
	r, ok := s.recipes[n]
	if !ok {
		return "", fmt.Errorf("unknown artifact %q", n)
	}
	for _, need := range r.needs {
		if _, err := s.ensure(ctx, need); err != nil {
			return "", err
		}
	}
	key, err := s.key(ctx, n)
	if err != nil {
		return "", err
	}
	path, err := s.cached(ctx, n, key+r.suffix(), r.build)
	if err != nil {
		return "", fmt.Errorf("artifact %s: %w", n, err)
	}
	s.paths[n] = path
	return path, nil
}

func (s *session) key(ctx context.Context, n Name) (string, error) {
	if key, ok := s.keys[n]; ok {
		return key, nil
	}
	r := s.recipes[n]
	lines := []string{fmt.Sprintf("recipe %d", recipeVersion), "name " + string(n), "ref " + r.ref}
	for _, need := range r.needs {
		key, err := s.key(ctx, need)
		if err != nil {
			return "", err
		}
		lines = append(lines, "needs "+string(need)+" "+key)
	}
	if r.inputs != nil {
		inputs, err := r.inputs(ctx, s)
		if err != nil {
			return "", fmt.Errorf("inputs of artifact %s: %w", n, err)
		}
		lines = append(lines, inputs...)
	}
	s.keys[n] = hashLines(lines)
	return s.keys[n], nil
}

// hashLines is short enough for a readable path, long enough to be unique.
func hashLines(lines []string) string {
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:8])
}

// cached returns the file or folder called base in the artifact's cache, and
// builds it first when it is missing. The lock makes a second process wait for
// the first one's build instead of repeating it.
func (s *session) cached(ctx context.Context, n Name, base string, build func(context.Context, *session, string) error) (string, error) {
	dir := filepath.Join(s.CacheDir, string(n))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(ctx, filepath.Join(dir, ".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()

	path := filepath.Join(dir, base)
	now := time.Now()
	err = os.Chtimes(path, now, now) // in use: prune keeps it
	if err == nil {
		return path, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	s.progress("%s: building", n)
	temp := filepath.Join(dir, ".building")
	if err := os.RemoveAll(temp); err != nil { // of a process that died
		return "", err
	}
	if err := build(ctx, s, temp); err != nil {
		return "", errors.Join(err, os.RemoveAll(temp))
	}
	if err := os.Rename(temp, path); err != nil {
		return "", err
	}
	s.progress("%s: built in %.1f s", n, time.Since(now).Seconds())
	return path, prune(dir)
}

// prune removes all but the most recently used builds.
func prune(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var builds []fs.FileInfo
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		builds = append(builds, info)
	}
	slices.SortFunc(builds, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	for i, info := range builds {
		if i >= keepBuilds {
			if err := os.RemoveAll(filepath.Join(dir, info.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// lock takes an exclusive lock that ends with the process at the latest. It
// polls, since a blocking flock cannot be interrupted through ctx.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %q: %w", path, err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for another build, lock %q: %w", path, ctx.Err()), f.Close())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func copyFile(dst, src string, mode fs.FileMode) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
