package workloads

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/meshfleet/meshfleet/internal/member"
)

// TestPlanToTheEnd simulates a member until nothing is left to do: there, and from somewhere on the way, back. The
// operator forgets everything between passes, and often does not see what it has just done.
func TestPlanToTheEnd(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			s := newSimulation(t, seed)
			turn := s.random.IntN(40)
			s.run(request(atOnce(intstr.FromInt32(3))), turn)
			s.restarts = map[Reference]int{}
			switch seed % 4 {
			case 0:
				s.run(request(goBack, atOnce(intstr.FromInt32(3))), toTheEnd)
				return
			case 2:
				s.run(request(takeBack, atOnce(intstr.FromInt32(3))), toTheEnd)
				return
			}
			s.run(request(atOnce(intstr.FromInt32(3))), toTheEnd)
		})
	}
}

// toTheEnd is more passes than any run needs.
const toTheEnd = 1000

type simulation struct {
	*testing.T
	random   *rand.Rand
	world    World
	stale    World
	now      time.Time
	restarts map[Reference]int
}

func newSimulation(t *testing.T, seed uint64) *simulation {
	options := []func(*World){budget("one", "w0", 1)}
	for i := range 12 {
		kind := []string{member.KindDeployment, member.KindStatefulSet, member.KindDaemonSet}[i%3]
		options = append(options, workload(kind, []string{"demo", "shop"}[i%2], fmt.Sprintf("w%d", i)))
	}
	s := &simulation{T: t, random: rand.New(rand.NewPCG(seed, 0)), world: clusterWith(options...), now: now, restarts: map[Reference]int{}}
	s.stale = s.copy()
	return s
}

// run makes passes until all is done, or so many are over. On the way back what was restarted for the target is still
// busy, so only the way there is held to the limit.
func (s *simulation) run(r Request, passes int) {
	for range passes {
		s.now = s.now.Add(time.Second)
		r.Now = s.now
		seen := s.world
		if s.random.IntN(4) == 0 {
			seen = s.stale
		}
		report, batch := Plan(seen, r)
		if report.Failed != "" || len(report.Blocked) > 0 {
			s.Fatalf("failed %q, blocked %v", report.Failed, report.Blocked)
		}
		s.stale = s.copy()
		for _, w := range batch {
			s.restart(w)
		}
		if busy := s.busy(r.Tags["default"]); busy > r.MaxUnavailable.IntValue() && !r.Back {
			s.Fatalf("%d workloads restart at the same time, want at most %s", busy, r.MaxUnavailable)
		}
		if fresh, _ := Plan(s.world, r); fresh.Done {
			s.verify(r.Tags["default"])
			return
		}
		s.progress(r.Tags["default"])
	}
	if passes == toTheEnd {
		s.Fatal("not done")
	}
}

// restart is what Restart does, with its check that nothing has changed.
func (s *simulation) restart(w Workload) {
	o := s.world.Workloads[w.Reference]
	if o.RestartedFor != w.RestartedFor || o.RestartedAt != w.RestartedAt {
		return
	}
	if s.restarts[w.Reference]++; s.restarts[w.Reference] > 1 {
		s.Fatalf("%s restarted twice for %s", w.Reference, w.Target)
	}
	o.RestartedFor, o.RestartedAt, o.Settled = w.Target, s.now.Format(time.RFC3339), false
	s.world.Workloads[w.Reference] = o
}

// progress lets controllers do one random thing for some workloads: notice a restart, or replace one pod.
func (s *simulation) progress(revision string) {
	for i := range 12 {
		for ref, o := range s.world.Workloads {
			if ref.Name != fmt.Sprintf("w%d", i) || s.random.IntN(2) == 0 {
				continue
			}
			if !o.Settled {
				o.Settled, o.Updated = true, 0
			} else if o.Updated < o.Desired {
				s.replace(ref, int(o.Updated), revision)
				o.Updated++
			}
			s.world.Workloads[ref] = o
		}
	}
}

// replace gives a pod of the workload the revision that its tag asks for.
func (s *simulation) replace(ref Reference, index int, revision string) {
	for i, p := range s.world.Pods {
		if p.Name == fmt.Sprintf("%s-%d", ref.Name, index) {
			s.world.Pods[i].Revision = revision
		}
	}
}

func (s *simulation) busy(revision string) int {
	busy := 0
	for _, o := range s.world.Workloads {
		if o.RestartedFor == revision && !o.IsComplete() {
			busy++
		}
	}
	return busy
}

func (s *simulation) verify(revision string) {
	for _, p := range s.world.Pods {
		if p.Revision != revision {
			s.Errorf("done, but pod %s has revision %s", p.Name, p.Revision)
		}
	}
}

func (s *simulation) copy() World {
	w := s.world
	w.Pods = append([]Pod(nil), s.world.Pods...)
	w.Workloads = map[Reference]Workload{}
	for ref, o := range s.world.Workloads {
		w.Workloads[ref] = o
	}
	return w
}
