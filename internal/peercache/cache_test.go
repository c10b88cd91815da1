package peercache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

var west = types.NamespacedName{Namespace: "meshes", Name: "shop-west"}

// counting is a cluster that says how often it was counted, after a while.
type counting struct {
	takes time.Duration
	err   error
	times atomic.Int32
}

func (c *counting) take(ctx context.Context) (Hosts, error) {
	n := c.times.Add(1)
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(c.takes):
	}
	return Hosts{fmt.Sprintf("count-%d", n): {}}, c.err
}

func TestAsk(t *testing.T) {
	// ask is one question, so long after the start.
	type ask struct {
		after, age time.Duration
		want       string
	}
	for name, test := range map[string]struct {
		takes time.Duration
		asks  []ask
		times int32
	}{
		"a first question takes a count":            {asks: []ask{{want: "count-1"}}, times: 1},
		"a count that is new enough is given again": {asks: []ask{{want: "count-1"}, {after: 10 * time.Second, age: 10 * time.Second, want: "count-1"}}, times: 1},
		"one that is too old is taken again":        {asks: []ask{{want: "count-1"}, {after: 11 * time.Second, age: 10 * time.Second, want: "count-2"}}, times: 2},
		"all who ask together get the same": {
			takes: time.Second, asks: []ask{{want: "count-1"}, {want: "count-1"}, {after: time.Millisecond, age: time.Second, want: "count-1"}}, times: 1,
		},
		"a count that began before the question is not new": {
			takes: time.Second, asks: []ask{{want: "count-1"}, {after: time.Millisecond, want: "count-2"}, {after: 2 * time.Millisecond, want: "count-2"}}, times: 2,
		},
		"nothing is kept that nobody asks for": {asks: []ask{{want: "count-1"}, {after: retention + 1, age: time.Hour, want: "count-2"}}, times: 2},
		"a question keeps it": {
			asks: []ask{{want: "count-1"}, {after: retention - 1, age: time.Hour, want: "count-1"}, {after: retention + 1, age: time.Hour, want: "count-1"}}, times: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c Cache[Hosts]
				cluster := &counting{takes: test.takes}
				var wg sync.WaitGroup
				for _, a := range test.asks {
					wg.Go(func() {
						time.Sleep(a.after)
						got, err := c.Get(t.Context(), west, a.age, cluster.take)
						if err != nil || !got.Has(a.want) {
							t.Errorf("after %s: %v, %v, want %s", a.after, got, err, a.want)
						}
					})
				}
				wg.Wait()
				if got := cluster.times.Load(); got != test.times {
					t.Errorf("counted %d times, want %d", got, test.times)
				}
			})
		})
	}
}

func TestAskForgetsWhatIsNotWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Cache[Hosts]
		for i := range 3 {
			if _, err := c.Get(t.Context(), types.NamespacedName{Name: fmt.Sprint(i)}, 0, (&counting{}).take); err != nil {
				t.Fatal(err)
			}
		}
		c.Forget(types.NamespacedName{Name: "0"})
		c.Forget(types.NamespacedName{Name: "unknown"})
		if got := kept(&c); got != 2 {
			t.Errorf("%d members are kept, want 2", got)
		}
		time.Sleep(retention)
		synctest.Wait()
		if got := kept(&c); got != 0 {
			t.Errorf("%d members are kept that nobody asks for", got)
		}
	})
}

func kept(c *Cache[Hosts]) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.members)
}

func TestAskFails(t *testing.T) {
	broken := errors.New("no istiod pod is ready")
	synctest.Test(t, func(t *testing.T) {
		var c Cache[Hosts]
		cluster := &counting{}
		if _, err := c.Get(t.Context(), west, 0, cluster.take); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		cluster.err = broken
		if _, err := c.Get(t.Context(), west, 0, cluster.take); !errors.Is(err, broken) {
			t.Errorf("error %v, want %v", err, broken)
		}
		if got, err := c.Get(t.Context(), west, time.Minute, cluster.take); err != nil || !got.Has("count-1") {
			t.Errorf("%v, %v, want the count before the failure", got, err)
		}
	})
}

// TestAskIsNotToldOfAnEarlierFailure lets a count fail that had begun before somebody asked for a newer one.
func TestAskIsNotToldOfAnEarlierFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Cache[Hosts]
		times := 0
		take := func(context.Context) (Hosts, error) {
			time.Sleep(time.Second)
			if times++; times == 1 {
				return nil, errors.New("connection refused")
			}
			return Hosts{"web": {}}, nil
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := c.Get(t.Context(), west, 0, take); err == nil {
				t.Error("who asked first is not told of the failure")
			}
		})
		time.Sleep(time.Millisecond)
		if got, err := c.Get(t.Context(), west, 0, take); err != nil || !got.Has("web") {
			t.Errorf("%v, %v, want the second count", got, err)
		}
		wg.Wait()
	})
}

// TestAskIsBounded wants an end for whoever asks, and for a count that hangs; others that wait for it are not ended by the first.
func TestAskIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Cache[Hosts]
		hangs := &counting{takes: time.Hour}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		started := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Get(t.Context(), west, time.Minute, hangs.take)
			if after := time.Since(started); !errors.Is(err, context.DeadlineExceeded) || after != loadDeadline {
				t.Errorf("the count ended after %s with %v, want the deadline of %s", after, err, loadDeadline)
			}
		})
		_, err := c.Get(ctx, west, time.Minute, hangs.take)
		if after := time.Since(started); !errors.Is(err, context.DeadlineExceeded) || after != time.Second {
			t.Errorf("the question ended after %s with %v, want its own deadline", after, err)
		}
		wg.Wait()
		if got := hangs.times.Load(); got != 1 {
			t.Errorf("counted %d times, want once", got)
		}
	})
}

// TestAskTakesAFewAtOnce lets many members hang: the others get their turn.
func TestAskTakesAFewAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Cache[Hosts]
		var running, most atomic.Int32
		take := func(ctx context.Context) (Hosts, error) {
			now := running.Add(1)
			defer running.Add(-1)
			for before := most.Load(); now > before && !most.CompareAndSwap(before, now); before = most.Load() {
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		var wg sync.WaitGroup
		for i := range 3 * maxLoads {
			wg.Go(func() {
				if _, err := c.Get(t.Context(), types.NamespacedName{Name: fmt.Sprint(i)}, 0, take); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error %v, want a deadline", err)
				}
			})
		}
		wg.Wait()
		if got := most.Load(); got != maxLoads {
			t.Errorf("%d counts at once, want %d", got, maxLoads)
		}
	})
}

// TestAskFromEverywhere is for the race detector.
func TestAskFromEverywhere(t *testing.T) {
	var c Cache[Hosts]
	cluster := &counting{}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(0, uint64(i))) //nolint:gosec // nothing secret
			for range 200 {
				member := types.NamespacedName{Name: fmt.Sprint(random.IntN(4))}
				if random.IntN(20) == 0 {
					c.Forget(member)
				}
				hosts, err := c.Get(t.Context(), member, time.Duration(random.IntN(2))*time.Millisecond, cluster.take)
				if err != nil || len(hosts) != 1 {
					t.Errorf("%v, %v, want one host", hosts, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestMerge(t *testing.T) {
	type answer = map[string][]string
	for name, test := range map[string]struct {
		answers []answer
		want    Hosts
	}{
		"nobody answers": {want: Hosts{}},
		"one pod": {
			answers: []answer{{"web": {"2", "1"}, "idle": nil}},
			want:    Hosts{"web": {All: []string{"1", "2"}, Any: []string{"1", "2"}}, "idle": {}},
		},
		"pods that do not agree": {
			answers: []answer{{"web": {"1", "2"}, "api": {"4"}}, {"web": {"2", "3"}}},
			want:    Hosts{"web": {All: []string{"2"}, Any: []string{"1", "2", "3"}}, "api": {All: []string{}, Any: []string{"4"}}},
		},
		"an address that is named twice counts once": {
			answers: []answer{{"web": {"1", "1"}}, {"web": nil}},
			want:    Hosts{"web": {All: []string{}, Any: []string{"1"}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, Merge(test.answers)); diff != "" {
				t.Errorf("Merge (-want +got):\n%s", diff)
			}
		})
	}
}

func TestIsEmpty(t *testing.T) {
	for name, test := range map[string]struct {
		hosts Hosts
		want  bool
	}{
		"nothing":                    {want: true},
		"services without addresses": {hosts: Hosts{"web": {}}, want: true},
		"one address":                {hosts: Hosts{"web": {}, "api": {Any: []string{"1"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.hosts.IsEmpty(); got != test.want {
				t.Errorf("empty: %v, want %v", got, test.want)
			}
		})
	}
}

func TestLacks(t *testing.T) {
	hosts := Hosts{"web": {Any: []string{"1", "3"}}, "idle": {}}
	for _, test := range []struct {
		host, address string
		want          bool
	}{{"web", "1", false}, {"web", "2", true}, {"idle", "1", true}, {"unknown", "1", false}} {
		if got := hosts.Lacks(test.host, test.address); got != test.want {
			t.Errorf("lacks %s of %s: %v, want %v", test.address, test.host, got, test.want)
		}
	}
}

// TestTheDeadlineGrowsWithTheMember asks a member again and again that takes longer than the first deadline, and one that never answers.
func TestTheDeadlineGrowsWithTheMember(t *testing.T) {
	for name, test := range map[string]struct {
		takes time.Duration
		// fails is how many questions have no answer, longest what the last one waits.
		fails   int
		longest time.Duration
	}{
		"a small member":              {takes: time.Second, longest: time.Second},
		"one that takes 8 seconds":    {takes: 8 * time.Second, fails: 1, longest: 8 * time.Second},
		"one that takes a minute":     {takes: time.Minute, fails: 4, longest: time.Minute},
		"one that hangs, for so long": {takes: time.Hour, fails: 8, longest: maxLoadDeadline},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var c Cache[Hosts]
				counted := &counting{takes: test.takes}
				failed, longest := 0, time.Duration(0)
				for range 8 {
					began := time.Now()
					_, err := c.Get(t.Context(), west, 0, counted.take)
					longest = time.Since(began)
					if err != nil {
						failed++
					}
					if err != nil && !strings.HasPrefix(err.Error(), "no answer in "+longest.String()) {
						t.Errorf("after %s: %v", longest, err)
					}
					// The value is not kept for so long, but what the member needs is.
					time.Sleep(2 * retention)
				}
				if failed != test.fails || longest != test.longest {
					t.Errorf("%d questions failed, and the last one took %s; want %d and %s", failed, longest, test.fails, test.longest)
				}
				if got := len(c.members); got != 0 {
					t.Errorf("%d values are kept", got)
				}
				c.Forget(west)
				if got := len(c.deadlines); got != 0 {
					t.Errorf("%d deadlines are kept of a member that is gone", got)
				}
			})
		})
	}
}

// TestALongLoadIsShared lets another one ask while a load lasts longer than values are kept.
func TestALongLoadIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Cache[Hosts]{deadlines: map[types.NamespacedName]time.Duration{west: maxLoadDeadline}}
		counted := &counting{takes: 3 * retention}
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * retention)
				if _, err := c.Get(t.Context(), west, time.Hour, counted.take); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := counted.times.Load(); got != 1 {
			t.Errorf("counted %d times, want once", got)
		}
		time.Sleep(2 * retention)
	})
}
