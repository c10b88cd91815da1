//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/control"
	"github.com/meshfleet/meshfleet/hack/lab/internal/cluster/state"
)

// images returns the archives of a cluster in the order they are needed.
func (m Materials) images(with extras) []Image {
	images := []Image{m.Pause, m.CoreDNS}
	if with.certManager {
		images = append(images, m.CertManager)
	}
	if with.olm {
		images = append(images, m.OLM, m.OPM)
	}
	if with.prometheus {
		images = append(images, m.Prometheus)
	}
	return append(images, m.Others...)
}

// imageLoad is a sequence of imports that runs beside the boot of a cluster.
type imageLoad struct {
	mu      sync.Mutex
	present map[string]bool
	loaded  map[string]string
	err     error
	// changed is closed and replaced after every import and at the end.
	changed chan struct{}
	done    bool
}

// loadImages starts importing the images that a cluster lacks.
func (e *Engine) loadImages(ctx context.Context, record state.Record, images []Image) *imageLoad {
	load := &imageLoad{present: map[string]bool{}, loaded: map[string]string{}, changed: make(chan struct{})}
	var missing []Image
	for _, image := range images {
		if record.Images[image.Ref] == image.Path {
			load.present[image.Ref] = true
		} else {
			missing = append(missing, image)
		}
	}
	go func() {
		start := time.Now()
		for _, image := range missing {
			err := importFile(ctx, e.supervisor(record.Name), image.Path)
			if err != nil {
				load.update(func() { load.err = fmt.Errorf("load image %s: %w", image.Ref, err) })
				break
			}
			load.update(func() {
				load.present[image.Ref] = true
				load.loaded[image.Ref] = image.Path
			})
		}
		if len(missing) > 0 && load.err == nil {
			e.progress("%s: %d images loaded in %.1fs", record.Name, len(missing), time.Since(start).Seconds())
		}
		load.update(func() { load.done = true })
	}()
	return load
}

func (l *imageLoad) update(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	close(l.changed)
	l.changed = make(chan struct{})
}

// until waits for a condition that is evaluated under the lock.
func (l *imageLoad) until(ctx context.Context, condition func() bool) error {
	for {
		l.mu.Lock()
		met, err, changed := condition(), l.err, l.changed
		l.mu.Unlock()
		if err != nil {
			return err
		}
		if met {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("load images: %w", context.Cause(ctx))
		case <-changed:
		}
	}
}

// await returns when the given images are there.
func (l *imageLoad) await(ctx context.Context, images ...Image) error {
	return l.until(ctx, func() bool {
		return !slices.ContainsFunc(images, func(image Image) bool { return !l.present[image.Ref] })
	})
}

// all returns the references that were loaded, with their archives, when no import is left.
func (l *imageLoad) all(ctx context.Context) (map[string]string, error) {
	err := l.until(ctx, func() bool { return l.done })
	return l.loaded, err
}

// importFile tries for as long as the supervisor is not there yet.
func importFile(ctx context.Context, supervisor *control.Client, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	for {
		if _, err = supervisor.Status(ctx); err == nil {
			return supervisor.ImportImage(ctx, file)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// LoadImage imports archives into running clusters, all clusters at once.
func (e *Engine) LoadImage(ctx context.Context, clusters, archives []string) error {
	for _, name := range clusters {
		if err := e.requireRunning(name); err != nil {
			return err
		}
	}
	return together(clusters, func(name string) error {
		var errs []error
		for _, archive := range archives {
			if err := importFile(ctx, e.supervisor(name), archive); err != nil {
				errs = append(errs, fmt.Errorf("load image %s into cluster %q: %w", archive, name, err))
				continue
			}
			e.progress("%s: loaded %s", name, archive)
		}
		return errors.Join(errs...)
	})
}
