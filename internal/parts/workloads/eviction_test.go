package workloads

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/meshfleet/meshfleet/internal/member"
)

// size gives a workload n replicas with a proxy of the former revision, of which so many may be evicted at once.
func size(n, evictable int32) func(*part) {
	return func(p *part) {
		p.Desired, p.Existing, p.Updated, p.Available, p.Evictable = n, n, n, n, evictable
		revisions := make([]string, n)
		for i := range revisions {
			revisions[i] = former
		}
		pods(revisions...)(p)
	}
}

func TestPlanEvictions(t *testing.T) {
	available := func(n int32) func(*part) { return with(func(w *Workload) { w.Available = n }) }
	checkPlans(t, map[string]planCase{
		"evicts one pod and the rest later": {
			world: clusterWith(deployment("a"), deployment("b")), request: request(evicting),
			wantReport:  Report{Total: 2, Restarting: []string{"Deployment demo/a"}, Waiting: []string{"Deployment demo/b"}},
			wantRestart: []string{"Deployment demo/a for 1-29-1, evict a-1"},
		},
		"evicts as many as an update would take away, the last first": {
			world: clusterWith(workload(member.KindStatefulSet, "demo", "db", size(12, 3))), request: request(evicting),
			wantReport:  Report{Total: 1, Restarting: []string{"StatefulSet demo/db"}},
			wantRestart: []string{"StatefulSet demo/db for 1-29-1, evict db-11, evict db-10, evict db-9"},
		},
		"waits until the new pod is available": {
			world: clusterWith(deployment("a", evicted(target, time.Minute), pods(former, target), pod(1, starts), available(1)),
				deployment("b")),
			request:    request(evicting),
			wantReport: Report{Total: 2, Restarting: []string{"Deployment demo/a"}, Waiting: []string{"Deployment demo/b"}},
		},
		"does not believe a count that is a moment old": {
			world:      clusterWith(deployment("a", evicted(target, time.Minute), pods(former, former), pod(1, leaves))),
			request:    request(evicting),
			wantReport: Report{Total: 1, Restarting: []string{"Deployment demo/a"}},
		},
		"evicts more while there is room": {
			world: clusterWith(deployment("a", size(4, 2), evicted(target, time.Minute), pods(former, former, former, target),
				pod(3, starts), available(3))),
			request:     request(evicting),
			wantReport:  Report{Total: 1, Restarting: []string{"Deployment demo/a"}},
			wantRestart: []string{"Deployment demo/a for 1-29-1, evict a-2"},
		},
		"goes on with what was begun before anything else": {
			world:   clusterWith(deployment("a"), deployment("b", evicted(target, time.Hour), pods(former, target))),
			request: request(evicting),
			wantReport: Report{Total: 2, Restarting: []string{"Deployment demo/b"},
				Waiting: []string{"Deployment demo/a"}},
			wantRestart: []string{"Deployment demo/b for 1-29-1, evict b-0"},
		},
		"has moved what is back": {
			world:       clusterWith(deployment("a", evicted(target, time.Minute), pods(target, target)), deployment("b")),
			request:     request(evicting),
			wantReport:  Report{Total: 2, Moved: 1, Restarting: []string{"Deployment demo/b"}},
			wantRestart: []string{"Deployment demo/b for 1-29-1, evict b-1"},
		},
		"has not moved what is not back": {
			world: clusterWith(deployment("a", evicted(target, time.Minute), pods(target, target), pod(1, starts), available(1)),
				deployment("b")),
			request:    request(evicting),
			wantReport: Report{Total: 2, Restarting: []string{"Deployment demo/a"}, Waiting: []string{"Deployment demo/b"}},
		},
		"waits for new pods though somebody has removed the note": {
			world:      clusterWith(deployment("a", pods(former, target), pod(1, starts), available(1))),
			request:    request(evicting),
			wantReport: Report{Total: 1, Waiting: []string{"Deployment demo/a: its new pods are not available yet"}},
		},
		"takes a note of an earlier move for what it is": {
			world: clusterWith(deployment("a", evicted(target, time.Hour), restarted(former, time.Minute)),
				deployment("b", evicted(target, time.Hour), restarted(former, time.Minute))),
			request:     request(evicting),
			wantReport:  Report{Total: 2, Restarting: []string{"Deployment demo/a"}, Waiting: []string{"Deployment demo/b"}},
			wantRestart: []string{"Deployment demo/a for 1-29-1, evict a-1"},
		},
		"keeps to the places even when all were begun": {
			world: clusterWith(deployment("a", evicted(target, time.Hour), pods(former, target)),
				deployment("b", evicted(target, time.Hour), pods(former, target))),
			request:     request(evicting),
			wantReport:  Report{Total: 2, Restarting: []string{"Deployment demo/a"}, Waiting: []string{"Deployment demo/b"}},
			wantRestart: []string{"Deployment demo/a for 1-29-1, evict a-0"},
		},
		"goes on by eviction with what a restart has left": {
			world:       clusterWith(deployment("a", restarted(target, time.Minute), pods(former, target))),
			request:     request(evicting),
			wantReport:  Report{Total: 1, Restarting: []string{"Deployment demo/a"}},
			wantRestart: []string{"Deployment demo/a for 1-29-1, evict a-0"},
		},
		"goes on by restart with what evictions have left": {
			world:       clusterWith(deployment("a", evicted(target, time.Minute), pods(former, target))),
			request:     request(),
			wantReport:  Report{Total: 1, Restarting: []string{"Deployment demo/a"}},
			wantRestart: []string{"Deployment demo/a for 1-29-1"},
		},
	})
}

func TestPlanEvictionsWithObstacles(t *testing.T) {
	held := with(func(w *Workload) { w.Held = "has the update strategy OnDelete" })
	pending := with(func(w *Workload) { w.Updated = 1 })
	checkPlans(t, map[string]planCase{
		"asks PodDisruptionBudgets": {
			world: clusterWith(deployment("a"), budget("strict", "", 0)), request: request(evicting),
			wantReport: Report{Total: 1, Blocked: []string{"Deployment demo/a: PodDisruptionBudget strict forbids disruption"}},
		},
		"evicts no more than they allow": {
			world: clusterWith(deployment("a", size(4, 3)), budget("strict", "", 1)), request: request(evicting),
			wantReport:  Report{Total: 1, Restarting: []string{"Deployment demo/a"}},
			wantRestart: []string{"Deployment demo/a for 1-29-1, evict a-3"},
		},
		"says which pods cannot be evicted at all": {
			world: clusterWith(deployment("a"), budget("one", "a", 1), budget("two", "", 1)), request: request(evicting),
			wantReport: Report{Total: 1, Blocked: []string{
				"Deployment demo/a: has pods with more than one PodDisruptionBudget, which cannot be evicted"}},
		},
		"evicts what an update would not replace": {
			world: clusterWith(workload(member.KindDaemonSet, "demo", "a", held)), request: request(evicting),
			wantReport:  Report{Total: 1, Restarting: []string{"DaemonSet demo/a"}},
			wantRestart: []string{"DaemonSet demo/a for 1-29-1, evict a-1"},
		},
		"does not roll out what is held back": {
			world: clusterWith(workload(member.KindDaemonSet, "demo", "a", held, pending)), request: request(evicting),
			wantReport: Report{Total: 1, Blocked: []string{"DaemonSet demo/a: has the update strategy OnDelete, " +
				"and eviction would roll out a change that is held back"}},
		},
		"stops when a new pod does not stay up": {
			world: clusterWith(deployment("a", evicted(target, time.Minute), pods(former, target), pod(1, crashes3), pod(1, starts),
				unavailable), deployment("b")),
			request: request(evicting, atOnce(intstr.FromInt32(5))),
			wantReport: Report{Total: 2, Restarting: []string{"Deployment demo/a"}, Waiting: []string{"Deployment demo/b"},
				Failed: "Deployment demo/a: new pod a-1: container app does not stay up: exit code 1, Error"},
		},
		"stops when a new pod has no proxy": {
			world:   clusterWith(deployment("a", evicted(target, time.Minute), pods(former, ""), pod(1, func(p *Pod) { p.Created = now }))),
			request: request(evicting),
			wantReport: Report{Total: 1, Waiting: []string{"Deployment demo/a"},
				Failed: "Deployment demo/a: new pod a-1 has no proxy"},
		},
		"leaves a pod alone that never had a proxy": {
			world:       clusterWith(deployment("a", evicted(target, time.Minute), pods(former, ""))),
			request:     request(evicting),
			wantReport:  Report{Total: 1, Restarting: []string{"Deployment demo/a"}},
			wantRestart: []string{"Deployment demo/a for 1-29-1, evict a-0"},
		},
		"goes back by restart, and no budget holds it": {
			world: clusterWith(deployment("a", evicted(target, time.Minute), pods(former, target), pod(1, crashes3), unavailable),
				budget("all", "", 0)),
			request:     request(goBack, evicting),
			wantReport:  Report{Total: 1, Restarting: []string{"Deployment demo/a"}},
			wantRestart: []string{"Deployment demo/a for 1-28-3"},
		},
		"goes back by eviction where a restart would change nothing": {
			world: clusterWith(workload(member.KindDaemonSet, "demo", "a", held, evicted(target, time.Minute), pods(target, target),
				pod(0, starts), pod(1, starts), with(func(w *Workload) { w.Available = 0 }))),
			request:     request(goBack, evicting),
			wantReport:  Report{Total: 1, Restarting: []string{"DaemonSet demo/a"}},
			wantRestart: []string{"DaemonSet demo/a for 1-28-3, evict a-1, evict a-0"},
		},
	})
}

// TestPlanEvictionsByConsent evicts what a restart would not move, whatever the method, where an annotation permits it.
func TestPlanEvictionsByConsent(t *testing.T) {
	held := with(func(w *Workload) { w.Held = "has the update strategy OnDelete" })
	consents := with(func(w *Workload) { w.Consents = true })
	rollout := Reference{Kind: "Rollout.argoproj.io", Namespace: "demo", Name: "blue"}
	of := func(owner Reference, name string, change ...func(*Pod)) func(*World) {
		serves := func(p *Pod) { p.Ready, p.Consents, p.Labels = true, true, map[string]string{"app": owner.Name} }
		return loose(owner, name, append([]func(*Pod){serves}, change...)...)
	}
	blue := func(name string, change ...func(*Pod)) func(*World) { return of(rollout, name, change...) }
	moved := func(p *Pod) { p.Revision = target }
	checkPlans(t, map[string]planCase{
		"one that is held, beside one that is not": {
			world:       clusterWith(workload(member.KindStatefulSet, "demo", "db", held, consents), deployment("web")),
			request:     request(atOnce(intstr.FromInt32(2))),
			wantReport:  Report{Total: 2, Restarting: []string{"Deployment demo/web", "StatefulSet demo/db"}},
			wantRestart: []string{"Deployment demo/web for 1-29-1", "StatefulSet demo/db for 1-29-1, evict db-1"},
		},
		"one that is not held": {
			world: clusterWith(deployment("a", consents)), request: request(),
			wantReport: Report{Total: 1, Restarting: []string{"Deployment demo/a"}}, wantRestart: []string{"Deployment demo/a for 1-29-1, evict a-1"},
		},
		"one that goes back": {
			world: clusterWith(workload(member.KindStatefulSet, "demo", "db", held, consents, pods(target, target))), request: request(goBack),
			wantReport: Report{Total: 1, Restarting: []string{"StatefulSet demo/db"}}, wantRestart: []string{"StatefulSet demo/db for 1-28-3, evict db-1"},
		},
		"a kind that is not known": {
			world: clusterWith(blue("blue-1"), blue("blue-2"), budget("blue", "blue", 1)), request: request(),
			wantReport:  Report{Total: 1, Restarting: []string{"Rollout.argoproj.io demo/blue"}},
			wantRestart: []string{"Rollout.argoproj.io demo/blue for 1-29-1, evict blue-2"},
		},
		"a kind that is not known, one pod of which has moved": {
			world: clusterWith(blue("blue-1"), blue("blue-2", moved), budget("blue", "blue", 1)), request: request(),
			wantReport:  Report{Total: 1, Restarting: []string{"Rollout.argoproj.io demo/blue"}},
			wantRestart: []string{"Rollout.argoproj.io demo/blue for 1-29-1, evict blue-1"},
		},
		"a kind that is not known, and has moved": {
			world:   clusterWith(blue("blue-1", moved), blue("blue-2", moved), budget("blue", "blue", 1)),
			request: request(), wantReport: Report{Total: 1, Moved: 1, Done: true},
		},
		"the former pod has not gone": {
			world:   clusterWith(blue("blue-1"), blue("blue-2", leaves), budget("blue", "blue", 1)),
			request: request(), wantReport: Report{Total: 1, Restarting: []string{"Rollout.argoproj.io demo/blue: pod blue-2 is being replaced"}},
		},
		"the new pod is starting": {
			world:   clusterWith(blue("blue-1"), blue("blue-2", moved, starts), budget("blue", "blue", 1)),
			request: request(), wantReport: Report{Total: 1, Restarting: []string{"Rollout.argoproj.io demo/blue: pod blue-2 is being replaced"}},
		},
		"the new pod crashes": {
			world: clusterWith(blue("blue-1"), blue("blue-2", moved, starts, crashes3), budget("blue", "blue", 1)), request: request(),
			wantReport: Report{Total: 1, Blocked: []string{"Rollout.argoproj.io demo/blue: new pod blue-2: container app does not stay up: exit code 1, Error"}},
		},
		"another pod does not serve": {
			world: clusterWith(blue("blue-1"), blue("blue-2", starts), budget("blue", "blue", 1)), request: request(),
			wantReport: Report{Total: 1, Waiting: []string{"Rollout.argoproj.io demo/blue: not all of its pods serve"}},
		},
		"its budget forbids it, on the way back as well": {
			world: clusterWith(blue("blue-1", moved), budget("blue", "blue", 0)), request: request(goBack),
			wantReport: Report{Total: 1, Blocked: []string{"Rollout.argoproj.io demo/blue: PodDisruptionBudget blue forbids disruption"}},
		},
		"it has no budget": {
			world: clusterWith(blue("blue-1")), request: request(), wantReport: Report{Done: true, Skipped: []string{
				"Rollout.argoproj.io demo/blue: may be evicted by its annotation, but no PodDisruptionBudget selects its pods: create one, which says how many may be missing"}},
		},
		"not all of its pods may be evicted": {
			world: clusterWith(blue("blue-1"), blue("blue-2", func(p *Pod) { p.Consents = false }), budget("blue", "blue", 1)), request: request(),
			wantReport: Report{Done: true, Skipped: []string{"Rollout.argoproj.io demo/blue: the operator does not know how to restart this kind: " + hintOfUnknown}},
		},
		"a Job": {
			world: clusterWith(of(Reference{Kind: member.KindJob, Namespace: "demo", Name: "mail"}, "mail-1"), budget("mail", "mail", 1)), request: request(),
			wantReport:  Report{Total: 1, Restarting: []string{"Job demo/mail"}},
			wantRestart: []string{"Job demo/mail for 1-29-1, evict mail-1"},
		},
		"a bare pod": {
			world: clusterWith(of(Reference{}, "bare"), budget("all", "", 1)), request: request(),
			wantReport: Report{Done: true, Skipped: []string{"Pod demo/bare: is a bare pod: nothing would make it again"}},
		},
	})
}
