package harness

import (
	"bufio"
	"fmt"
	"io"
	"time"
)

// Logf prints one line of progress with the time since the Env was made.
func (e *Env) Logf(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, _ = fmt.Fprintf(e.opts.Out, "%7.1fs  %s\n", time.Since(e.start).Seconds(), fmt.Sprintf(format, args...))
}

// Printf prints without a time, for tables and proofs.
func (e *Env) Printf(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, _ = fmt.Fprintf(e.opts.Out, format, args...)
}

// Step runs one named step and prints how long it took.
func (e *Env) Step(name string, run func() error) error {
	e.Logf("▸ %s", name)
	start := time.Now()
	if err := run(); err != nil {
		e.Logf("✗ %s (%.1fs)", name, time.Since(start).Seconds())
		return fmt.Errorf("%s: %w", name, err)
	}
	e.Logf("✓ %s (%.1fs)", name, time.Since(start).Seconds())
	return nil
}

// logLines copies what a command prints into the progress, line by line. The returned writer must be closed, and
// then done waited for.
func (e *Env) logLines(prefix string) (w io.WriteCloser, done <-chan struct{}) {
	r, pw := io.Pipe()
	ch := make(chan struct{})
	go func() {
		defer close(ch)
		scanner := bufio.NewScanner(r)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			e.Logf("  %s%s", prefix, scanner.Text())
		}
		// A line that the scanner cannot hold must not block the command.
		_, _ = io.Copy(io.Discard, r)
	}()
	return pw, ch
}
