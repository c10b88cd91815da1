package workloads

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/meshfleet/meshfleet/internal/member"
)

// TestEvictToTheEnd simulates a member whose pods are evicted until every workload has moved. The operator forgets
// everything between passes, is killed between any two calls, and sometimes acts on what it read a pass before.
func TestEvictToTheEnd(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			s := newEvictions(t, seed)
			for pass := 0; ; pass++ {
				if pass == toTheEnd {
					s.Fatal("not done")
				}
				if s.pass() {
					return
				}
			}
		})
	}
}

// evictedMember is a member whose controllers are played.
type evictedMember struct {
	*testing.T
	random *rand.Rand
	world  World
	stale  World
	now    time.Time
	made   int
}

const places = 2

func newEvictions(t *testing.T, seed uint64) *evictedMember {
	random := rand.New(rand.NewPCG(seed, 1))
	options := []func(*World){budget("one", "w0", 1)}
	for i := range 6 {
		n := int32(random.IntN(4) + 1)
		kind := []string{member.KindDeployment, member.KindStatefulSet, member.KindDaemonSet}[i%3]
		options = append(options, workload(kind, "demo", fmt.Sprintf("w%d", i), size(n, max(int32(random.IntN(int(n))), 1))))
	}
	s := &evictedMember{T: t, random: random, world: clusterWith(options...), now: now}
	s.stale = copyOf(s.world)
	return s
}

func copyOf(w World) World {
	s := simulation{world: w}
	w = s.copy()
	w.Budgets = append([]Budget(nil), w.Budgets...)
	return w
}

// pass is one of the operator, and what the controllers do until the next.
func (s *evictedMember) pass() (isDone bool) {
	s.now = s.now.Add(time.Second)
	r := request(evicting, atOnce(intstr.FromInt32(places)), func(r *Request) { r.Now = s.now })
	seen := copyOf(s.world)
	if s.random.IntN(4) == 0 {
		seen = s.stale
	}
	s.stale = copyOf(s.world)
	report, batch := Plan(seen, r)
	if report.Failed != "" {
		s.Fatalf("failed: %s", report.Failed)
	}
	for _, w := range batch {
		if s.random.IntN(10) == 0 || !s.act(w) {
			break // killed
		}
	}
	s.check()
	if fresh, _ := Plan(s.world, r); fresh.Done {
		s.verify()
		return true
	}
	s.progress()
	return false
}

// act is what Evict does. False: the operator is killed on the way.
func (s *evictedMember) act(w Workload) bool {
	o := s.world.Workloads[w.Reference]
	if o.Version != w.Version {
		return true
	}
	if o.EvictedFor != w.Target {
		o.EvictedFor, o.EvictedAt = w.Target, s.now.Format(time.RFC3339)
		s.store(o)
	}
	for _, victim := range w.Evict {
		if s.random.IntN(10) == 0 {
			return false
		}
		for i := range s.world.Pods {
			p := &s.world.Pods[i]
			if p.Name != victim.Name || !s.allows(p) {
				continue
			}
			p.Leaves, p.Ready = s.now.Add(time.Hour), false
		}
	}
	return true
}

// allows is the API server's budget.
func (s *evictedMember) allows(p *Pod) bool {
	if p.Labels["app"] != "w0" {
		return true
	}
	ref := root(*p, s.world.ReplicaSets)
	return s.serving(ref) >= s.world.Workloads[ref].Desired
}

func (s *evictedMember) serving(ref Reference) (n int32) {
	for _, p := range s.world.Pods {
		if root(p, s.world.ReplicaSets) == ref && p.Ready {
			n++
		}
	}
	return n
}

func (s *evictedMember) store(o Workload) {
	s.made++
	o.Version = strconv.Itoa(s.made)
	s.world.Workloads[o.Reference] = o
}

// progress replaces pods that leave, makes new ones serve, and lets controllers count.
func (s *evictedMember) progress() {
	for i := range s.world.Pods {
		p := &s.world.Pods[i]
		switch {
		case !p.Leaves.IsZero():
			// The pod's place in the list is its place in the workload.
			s.made++
			p.Name, p.Leaves, p.Revision = fmt.Sprintf("new-%d", s.made), time.Time{}, target
		case !p.Ready && s.random.IntN(3) == 0:
			p.Ready = true
		}
	}
	for _, o := range s.world.Workloads {
		if o.Available = s.serving(o.Reference); o.Available != s.world.Workloads[o.Reference].Available {
			s.store(o)
		}
		if o.Name == "w0" {
			s.world.Budgets[0].Allowed = max(o.Available-o.Desired+1, 0)
		}
	}
}

// check holds the evictions to their limits.
func (s *evictedMember) check() {
	busy := 0
	for ref, o := range s.world.Workloads {
		out := o.Desired - s.serving(ref)
		if out > o.Evictable {
			s.Fatalf("%d of %d pods of %s do not serve, want at most %d", out, o.Desired, ref, o.Evictable)
		}
		if out > 0 {
			busy++
		}
	}
	if busy > places {
		s.Fatalf("%d workloads lack pods at the same time, want at most %d", busy, places)
	}
}

func (s *evictedMember) verify() {
	for _, p := range s.world.Pods {
		if p.Revision != target || !p.Ready {
			s.Errorf("done, but pod %s has revision %s, ready: %t", p.Name, p.Revision, p.Ready)
		}
	}
}
