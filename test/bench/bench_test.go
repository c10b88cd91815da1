//go:build bench

package bench

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/meshfleet/meshfleet/test/harness"
)

const (
	defaultRounds = 3
	readyDeadline = 5 * time.Minute
)

// contestant is one way to install the mesh.
type contestant struct {
	name    string
	install func(ctx context.Context) error
	remove  func(ctx context.Context) error
	times   []time.Duration
}

// TestTimeToReady measures all contestants and reports. It sets no limit: a figure is a finding, not a verdict.
func TestTimeToReady(t *testing.T) {
	ctx := t.Context()
	env, err := harness.New(harness.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := env.Step("prepare the lab", func() error { return prepare(ctx, env) }); err != nil {
		env.Dump(ctx, "bench")
		t.Fatal(err)
	}
	if os.Getenv("KEEP_LAB") != "1" {
		t.Cleanup(func() {
			if err := env.DownLab(context.Background()); err != nil {
				t.Errorf("remove the lab: %v", err)
			}
		})
	}
	manual, err := newManual(ctx, env)
	if err != nil {
		t.Fatal(err)
	}
	contestants := []*contestant{
		{name: "operator", install: operatorInstall(env), remove: operatorRemove(env)},
		{name: "helm, one by one", install: manual.install("sequential"), remove: manual.remove},
		{name: "helm, in parallel", install: manual.install("parallel"), remove: manual.remove},
	}
	for round := range rounds(t) {
		for _, c := range contestants {
			if err := measure(ctx, env, c, round+1); err != nil {
				env.Dump(ctx, "bench")
				t.Fatal(err)
			}
		}
	}
	if err := report(env, contestants); err != nil {
		t.Fatal(err)
	}
}

// rounds is how often each contestant is measured.
func rounds(t *testing.T) int {
	text := os.Getenv("BENCH_ROUNDS")
	if text == "" {
		return defaultRounds
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("BENCH_ROUNDS=%q: want a number above zero", text)
	}
	return n
}

// prepare brings up what both ways find ready: the clusters, the operator and its credentials on one side, admin
// kubeconfigs on the other.
func prepare(ctx context.Context, env *harness.Env) error {
	if err := env.Stages(env.StartUp(ctx)...); err != nil {
		return err
	}
	if err := env.ForceDeleteMesh(ctx, readyDeadline); err != nil {
		return err
	}
	return reset(ctx, env)
}

// measure installs once, takes the time, and removes everything again.
func measure(ctx context.Context, env *harness.Env, c *contestant, round int) error {
	name := fmt.Sprintf("round %d: %s", round, c.name)
	start := time.Now()
	if err := env.Step(name, func() error { return c.install(ctx) }); err != nil {
		return err
	}
	c.times = append(c.times, time.Since(start))
	return env.Step(name+": remove", func() error {
		if err := c.remove(ctx); err != nil {
			return err
		}
		return reset(ctx, env)
	})
}

func operatorInstall(env *harness.Env) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := env.ApplyMesh(ctx); err != nil {
			return err
		}
		_, err := env.WaitReady(ctx, readyDeadline)
		return err
	}
}

func operatorRemove(env *harness.Env) func(context.Context) error {
	return func(ctx context.Context) error { return env.ForceDeleteMesh(ctx, readyDeadline) }
}

// report prints the table and writes it to bin/bench.txt.
func report(env *harness.Env, contestants []*contestant) error {
	base := median(contestants[0].times)
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "TWO MEMBERS, TIME TO READY\tMEDIAN\tALL ROUNDS\tOPERATOR / THIS")
	for _, c := range contestants {
		all := make([]string, 0, len(c.times))
		for _, d := range c.times {
			all = append(all, fmt.Sprintf("%.1f", d.Seconds()))
		}
		m := median(c.times)
		_, _ = fmt.Fprintf(w, "%s\t%.1f s\t%s\t%.2f\n", c.name, m.Seconds(), strings.Join(all, " "), base.Seconds()/m.Seconds())
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	env.Printf("\n%s\n", out.String())
	if err := os.WriteFile(env.Path("bin", "bench.txt"), []byte(out.String()), 0o644); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}

func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}
