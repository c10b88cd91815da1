package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestRunKeepsTheRate(t *testing.T) {
	tests := map[string]struct {
		order    order
		latency  time.Duration
		wantSent int
		wantOK   int
	}{
		"sends rate times duration": {
			order:    order{RPS: 100, Duration: duration(30 * time.Second)},
			wantSent: 3000, wantOK: 3000,
		},
		"does not slow down with the server": {
			order:   order{RPS: 100, Duration: duration(10 * time.Second)},
			latency: 5 * time.Second, wantSent: 1000, wantOK: 1000,
		},
		"keeps a rate that divides no second evenly": {
			order:    order{RPS: 7, Duration: duration(time.Minute)},
			wantSent: 420, wantOK: 420,
		},
		"sends less than once per second": {
			order:    order{RPS: 0.5, Duration: duration(10 * time.Second)},
			wantSent: 5, wantOK: 5,
		},
		"counts what it could not send as failed": {
			// Two are in flight at any time, each for a second: 2 of 10 pass.
			order:   order{RPS: 10, Duration: duration(10 * time.Second), Concurrency: 2},
			latency: 990 * time.Millisecond, wantSent: 100, wantOK: 20,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRun("1", tc.order, func(context.Context) outcome {
					time.Sleep(tc.latency)
					return outcome{at: time.Now(), status: 200, cluster: "east", duration: tc.latency}
				})
				start := time.Now()
				r.drive(t.Context())
				elapsed := time.Since(start)
				got := r.report()
				if got.Sent != tc.wantSent || got.OK != tc.wantOK || got.OK+got.Failed != got.Sent {
					t.Errorf("sent %d, ok %d, failed %d, want sent %d, ok %d, failed the rest", got.Sent, got.OK, got.Failed, tc.wantSent, tc.wantOK)
				}
				if got.ByStatus["200"] != got.OK || got.ByCluster["east"] != got.OK || got.ByKind["saturated"] != got.Failed {
					t.Errorf("the counts by status %v, cluster %v and kind %v do not add up", got.ByStatus, got.ByCluster, got.ByKind)
				}
				if most := time.Duration(tc.order.Duration) + tc.latency; elapsed > most {
					t.Errorf("the run took %s, want at most %s", elapsed, most)
				}
				if got.Running || got.EndedAt == nil {
					t.Errorf("running %v, ended %v after the run", got.Running, got.EndedAt)
				}
			})
		})
	}
}

func TestRunStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun("1", order{RPS: 10, Duration: duration(time.Hour)}, func(context.Context) outcome {
			time.Sleep(time.Second)
			return outcome{status: 200}
		})
		go r.drive(t.Context())
		time.Sleep(10*time.Second + time.Millisecond)
		r.stop()
		r.stop() // a second one is harmless
		if got := r.report(); got.Sent != 101 || got.OK != 101 {
			t.Errorf("sent %d, ok %d, want 101 each: those in flight are waited for", got.Sent, got.OK)
		}
	})
}

func TestRunFinishesWhenTheProcessEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		control := newAPI(ctx)
		r := control.add(func(id string) *run {
			return newRun(id, order{RPS: 10, Duration: duration(time.Hour)}, func(ctx context.Context) outcome {
				select {
				case <-time.After(3 * time.Second):
					return outcome{status: 200}
				case <-ctx.Done():
					return outcome{err: ctx.Err()}
				}
			})
		})
		go r.drive(ctx)
		time.Sleep(10*time.Second + time.Millisecond)
		cancel()
		control.finish()
		if got := r.report(); got.Sent != 101 || got.OK != 101 || got.Running {
			t.Errorf("sent %d, ok %d, running %v, want 101 each and the end", got.Sent, got.OK, got.Running)
		}
		if control.add(func(string) *run { return r }) != nil {
			t.Error("a run was started in a process that ends")
		}
	})
}

func TestRunListsFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		n := 0
		r := newRun("1", order{RPS: 100, Duration: duration(30 * time.Second)}, func(context.Context) outcome {
			n++
			o := outcome{at: time.Now(), status: 503, cluster: "west", body: "upstream connect error"}
			if n <= 500 {
				o.status = 200
			}
			return o
		})
		r.order.Concurrency = 1
		r.drive(t.Context())
		got := r.report()
		if got.Failed != 2500 || got.ByKind["5xx"] != 2500 || len(got.Failures) != maxFailures {
			t.Fatalf("failed %d, kinds %v, listed %d, want 2500 of 5xx and %d", got.Failed, got.ByKind, len(got.Failures), maxFailures)
		}
		first := got.Failures[0]
		if want := start.Add(5 * time.Second); !first.At.Equal(want) || first.Status != 503 || first.Error != "upstream connect error" || first.Cluster != "west" {
			t.Errorf("first failure is %+v, want a 503 of west at %s", first, want)
		}
	})
}

func TestPercentile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	tests := map[string]struct {
		values []float64
		share  float64
		want   float64
	}{
		"of nothing":       {nil, 0.5, 0},
		"of one":           {[]float64{7}, 0.99, 7},
		"median":           {hundred, 0.5, 50},
		"99th":             {hundred, 0.99, 99},
		"maximum":          {hundred, 1, 100},
		"median of an odd": {[]float64{1, 2, 3}, 0.5, 2},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := percentile(tc.values, tc.share); got != tc.want {
				t.Errorf("percentile() = %v, want %v", got, tc.want)
			}
		})
	}
}
