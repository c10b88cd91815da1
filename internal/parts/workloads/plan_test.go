package workloads

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/meshfleet/meshfleet/internal/member"
)

// planCase is a world, a request and what follows.
type planCase struct {
	world       World
	request     Request
	wantReport  Report
	wantRestart []string // workload and revision, and the pods to evict
}

func checkPlans(t *testing.T, tests map[string]planCase) {
	t.Helper()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			report, batch := Plan(tt.world, tt.request)
			var restart []string
			for _, w := range batch {
				step := w.String() + " for " + w.Target
				for _, p := range w.Evict {
					step += ", evict " + p.Name
				}
				restart = append(restart, step)
			}
			// Counted in a test of its own.
			report.MovedPods = 0
			if diff := cmp.Diff(tt.wantReport, report); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.wantRestart, restart); diff != "" {
				t.Errorf("restarts (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlanBatches(t *testing.T) {
	moved := pods(target, target)
	five := clusterWith(deployment("a"), deployment("b"), deployment("c"), deployment("d"), deployment("e"))
	checkPlans(t, map[string]planCase{
		"has nothing to do in an empty member": {world: clusterWith(), request: request(), wantReport: Report{Done: true}},
		"leaves workloads without proxies alone": {
			world: clusterWith(deployment("a", pods("", ""))), request: request(), wantReport: Report{Done: true},
		},
		"is done when every pod has the wanted revision": {
			world:   clusterWith(deployment("a", moved), workload(member.KindStatefulSet, "shop", "db", moved)),
			request: request(), wantReport: Report{Total: 2, Moved: 2, Done: true},
		},
		"restarts only what differs": {
			world:   clusterWith(deployment("a", moved), deployment("b"), deployment("c", pods(former, target))),
			request: request(atOnce(intstr.FromInt32(9))),
			wantReport: Report{Total: 3, Moved: 1,
				Restarting: []string{"Deployment demo/b", "Deployment demo/c"}},
			wantRestart: []string{"Deployment demo/b for 1-29-1", "Deployment demo/c for 1-29-1"},
		},
		"goes by namespace, kind and name": {
			world: clusterWith(workload(member.KindStatefulSet, "demo", "a"), workload(member.KindDeployment, "shop", "a"), deployment("z"),
				workload(member.KindDaemonSet, "demo", "a"), deployment("b")),
			request: request(atOnce(intstr.FromInt32(4))),
			wantReport: Report{Total: 5, Waiting: []string{"Deployment shop/a"}, Restarting: []string{
				"DaemonSet demo/a", "Deployment demo/b", "Deployment demo/z", "StatefulSet demo/a"}},
			wantRestart: []string{"DaemonSet demo/a for 1-29-1", "Deployment demo/b for 1-29-1",
				"Deployment demo/z for 1-29-1", "StatefulSet demo/a for 1-29-1"},
		},
		"restarts nothing while it is held": {
			world: clusterWith(deployment("a", moved), deployment("b")), request: request(func(r *Request) { r.Hold = "waits for a gate" }),
			wantReport: Report{Total: 2, Moved: 1, Waiting: []string{"Deployment demo/b: waits for a gate"}},
		},
		"restarts one at a time when nothing is said": {
			world: clusterWith(deployment("a"), deployment("b")), request: request(),
			wantReport:  Report{Total: 2, Restarting: []string{"Deployment demo/a"}, Waiting: []string{"Deployment demo/b"}},
			wantRestart: []string{"Deployment demo/a for 1-29-1"},
		},
		"rounds a percentage down": {
			world: five, request: request(atOnce(intstr.FromString("50%"))),
			wantReport: Report{Total: 5, Restarting: []string{"Deployment demo/a", "Deployment demo/b"},
				Waiting: []string{"Deployment demo/c", "Deployment demo/d", "Deployment demo/e"}},
			wantRestart: []string{"Deployment demo/a for 1-29-1", "Deployment demo/b for 1-29-1"},
		},
		"restarts at least one whatever the percentage": {
			world: clusterWith(deployment("a"), deployment("b")), request: request(atOnce(intstr.FromString("1%"))),
			wantReport:  Report{Total: 2, Restarting: []string{"Deployment demo/a"}, Waiting: []string{"Deployment demo/b"}},
			wantRestart: []string{"Deployment demo/a for 1-29-1"},
		},
		"counts what restarts already, though the operator has forgotten it": {
			world: clusterWith(deployment("a", restarted(target, time.Minute), rolling, pods(former, target)),
				deployment("b"), deployment("c")),
			request: request(atOnce(intstr.FromInt32(2))),
			wantReport: Report{Total: 3, Restarting: []string{"Deployment demo/a", "Deployment demo/b"},
				Waiting: []string{"Deployment demo/c"}},
			wantRestart: []string{"Deployment demo/b for 1-29-1"},
		},
		"counts a restarted workload before its controller has seen the restart": {
			world: clusterWith(deployment("a", restarted(target, 0), with(func(w *Workload) { w.Settled = false })),
				deployment("b")),
			request:    request(),
			wantReport: Report{Total: 2, Restarting: []string{"Deployment demo/a"}, Waiting: []string{"Deployment demo/b"}},
		},
		"counts a restarted workload that has no pods at all": {
			world: clusterWith(deployment("a", restarted(target, 0), pods(), with(func(w *Workload) {
				w.Existing, w.Updated, w.Available = 0, 0, 0
			})), deployment("b")),
			request:    request(),
			wantReport: Report{Total: 2, Restarting: []string{"Deployment demo/a"}, Waiting: []string{"Deployment demo/b"}},
		},
		"waits for the last old pod to go": {
			world: clusterWith(deployment("a", restarted(target, time.Minute), pods(target, target, former),
				pod(2, func(p *Pod) { p.Leaves = now.Add(20 * time.Second) })), deployment("b")),
			request:    request(),
			wantReport: Report{Total: 2, Restarting: []string{"Deployment demo/a"}, Waiting: []string{"Deployment demo/b"}},
		},
		"does not wait for a pod on a dead node": {
			world: clusterWith(deployment("a", restarted(target, time.Hour), pods(target, target, former),
				pod(2, func(p *Pod) { p.Leaves, p.Node = now.Add(-time.Hour), "node-1" }))),
			request: request(), wantReport: Report{Total: 1, Moved: 1, Done: true, Skipped: []string{"not counted, because they should have stopped " +
				"more than a minute ago: pods demo/a-2 on node node-1: delete the Node if it is gone, or else the pods with --force"}},
		},
		"says nothing of a pod on a dead node that has the wanted proxy": {
			world: clusterWith(deployment("a", pods(target, target, target),
				pod(2, func(p *Pod) { p.Leaves, p.Node = now.Add(-time.Hour), "node-1" }))),
			request: request(), wantReport: Report{Total: 1, Moved: 1, Done: true},
		},
		"does not restart for old pods that go anyway": {
			world: clusterWith(deployment("a", pods(target, target, former),
				pod(2, func(p *Pod) { p.Leaves = now.Add(20 * time.Second) }))),
			request:    request(),
			wantReport: Report{Total: 1, Waiting: []string{"Deployment demo/a: its old pods have not gone yet"}},
		},
		"waits for pods whose Deployment was deleted": {
			world:      clusterWith(loose(Reference{Kind: member.KindDeployment, Namespace: "demo", Name: "a"}, "a-1")),
			request:    request(),
			wantReport: Report{Waiting: []string{"Deployment demo/a: was deleted, its pods have not gone yet"}},
		},
		"ignores a workload without replicas": {
			world:   clusterWith(deployment("a", restarted(target, time.Hour), pods(), with(func(w *Workload) { w.Desired = 0 }))),
			request: request(), wantReport: Report{Done: true},
		},
		"restarts again when a rollout ended at another revision": {
			world:       clusterWith(deployment("a", restarted(target, time.Hour))),
			request:     request(),
			wantReport:  Report{Total: 1, Restarting: []string{"Deployment demo/a"}},
			wantRestart: []string{"Deployment demo/a for 1-29-1"},
		},
		"pauses before it restarts again": {
			world:      clusterWith(deployment("a", restarted(target, time.Minute)), deployment("b")),
			request:    request(),
			wantReport: Report{Total: 2, Waiting: []string{"Deployment demo/b"}, Restarting: []string{"Deployment demo/a: rolled out, but has proxies of another revision still"}},
		},
	})
}

func TestPlanBlocks(t *testing.T) {
	held := func(reason string) func(*part) { return with(func(w *Workload) { w.Held = reason }) }
	checkPlans(t, map[string]planCase{
		"asks PodDisruptionBudgets and goes on with others": {
			world:   clusterWith(deployment("a"), deployment("b"), budget("strict", "a", 0), budget("lax", "b", 1)),
			request: request(),
			wantReport: Report{Total: 2, Restarting: []string{"Deployment demo/b"},
				Blocked: []string{"Deployment demo/a: PodDisruptionBudget strict forbids disruption"}},
			wantRestart: []string{"Deployment demo/b for 1-29-1"},
		},
		"ignores PodDisruptionBudgets of other namespaces": {
			world:   clusterWith(workload(member.KindDeployment, "shop", "a"), budget("strict", "", 0)),
			request: request(), wantReport: Report{Total: 1, Restarting: []string{"Deployment shop/a"}},
			wantRestart: []string{"Deployment shop/a for 1-29-1"},
		},
		"restarts one workload of a PodDisruptionBudget at a time": {
			world:   clusterWith(deployment("a"), deployment("b"), budget("both", "", 1)),
			request: request(atOnce(intstr.FromInt32(5))),
			wantReport: Report{Total: 2, Restarting: []string{"Deployment demo/a"},
				Waiting: []string{"Deployment demo/b: shares PodDisruptionBudget both with Deployment demo/a"}},
			wantRestart: []string{"Deployment demo/a for 1-29-1"},
		},
		"blocks what a restart would not change": {
			world:   clusterWith(deployment("a", held("is paused")), workload(member.KindStatefulSet, "demo", "b", held("has the update strategy OnDelete"))),
			request: request(),
			wantReport: Report{Total: 2, Blocked: []string{
				"Deployment demo/a: is paused: " + hintOfHeld, "StatefulSet demo/b: has the update strategy OnDelete: " + hintOfHeld}},
		},
		"does not touch what is broken already": {
			world:   clusterWith(deployment("a", unavailable), deployment("b")),
			request: request(),
			wantReport: Report{Total: 2, Restarting: []string{"Deployment demo/b"},
				Blocked: []string{"Deployment demo/a: 1 of 2 replicas are available before the restart"}},
			wantRestart: []string{"Deployment demo/b for 1-29-1"},
		},
		"waits for somebody else's rollout": {
			world: clusterWith(deployment("a", rolling)), request: request(),
			wantReport: Report{Total: 1, Waiting: []string{"Deployment demo/a: is being rolled out"}},
		},
		"says so when somebody else's rollout is stuck": {
			world:      clusterWith(deployment("a", rolling, with(func(w *Workload) { w.Stuck = "ProgressDeadlineExceeded: late" }))),
			request:    request(),
			wantReport: Report{Total: 1, Blocked: []string{"Deployment demo/a: does not roll out, for another reason: ProgressDeadlineExceeded: late"}},
		},
		"names what loses requests": {
			world: clusterWith(deployment("a", pods(target, target), with(func(w *Workload) {
				w.FragileUpdate, w.FragilePods = []string{"one replica"}, []string{"no readiness probe"}
			}))),
			request: request(),
			wantReport: Report{Total: 1, Moved: 1, Done: true,
				Fragile: []string{"Deployment demo/a: one replica, no readiness probe"}},
		},
	})
}

func TestPlanSkips(t *testing.T) {
	out := with(func(w *Workload) { w.Injection.Out = true })
	rollout := Reference{Kind: "Rollout.argoproj.io", Namespace: "demo", Name: "blue"}
	checkPlans(t, map[string]planCase{
		"skips what nothing would make again, or what it does not know": {
			world: clusterWith(loose(Reference{}, "bare"), loose(Reference{Kind: member.KindJob, Namespace: "demo", Name: "mail"}, "mail-1"),
				loose(rollout, "blue-1"), loose(rollout, "blue-2"),
				loose(Reference{Kind: member.KindReplicaSet, Namespace: "demo", Name: "alone"}, "alone-1")),
			request: request(),
			wantReport: Report{Done: true, Skipped: []string{
				"Job demo/mail: is a Job: a restart would lose its work",
				"Pod demo/bare: is a bare pod: nothing would make it again",
				"ReplicaSet demo/alone: belongs to no Deployment: " + hintOfUnknown,
				"Rollout.argoproj.io demo/blue: the operator does not know how to restart this kind: " + hintOfUnknown}},
		},
		"says nothing of bare pods that need nothing": {
			world:      clusterWith(loose(Reference{}, "bare", func(p *Pod) { p.Revision = target })),
			request:    request(),
			wantReport: Report{Done: true},
		},
		"skips what opted out, with or without a proxy": {
			world: clusterWith(deployment("a", out, pods("", "")), deployment("b", out)), request: request(),
			wantReport: Report{Done: true, Skipped: []string{
				"Deployment demo/a: opted out of injection", "Deployment demo/b: opted out of injection"}},
		},
		"skips what is pinned to a revision": {
			world:      clusterWith(namespace("old", map[string]string{"istio.io/rev": former}), workload(member.KindDeployment, "old", "a")),
			request:    request(),
			wantReport: Report{Done: true, Skipped: []string{"Deployment old/a: is pinned to revision 1-28-3 by a label"}},
		},
		"skips what a restart would leave without a proxy": {
			world: clusterWith(namespace("gone", map[string]string{"istio.io/rev": "1-20-0"}), workload(member.KindDeployment, "gone", "a"),
				namespace("off", map[string]string{"istio-injection": "disabled"}), workload(member.KindDeployment, "off", "a")),
			request: request(),
			wantReport: Report{Done: true, Skipped: []string{
				"Deployment gone/a: a label asks for 1-20-0, which is neither a tag nor an installed revision: a restart would take the proxy away",
				"Deployment off/a: has a proxy, but no label asks for one: a restart would take it away"}},
		},
		"skips what was injected by hand": {
			world: clusterWith(deployment("a", with(func(w *Workload) { w.ByHand = true }))), request: request(),
			wantReport: Report{Done: true, Skipped: []string{"Deployment demo/a: its template contains the proxy: it was injected by hand"}},
		},
		"says nothing of what the operator made itself": {
			world: clusterWith(workload(member.KindDeployment, istioSystem, "gateway", with(func(w *Workload) {
				w.Own, w.Injection = true, Marks{Revision: target, In: true}
			}))),
			request: request(), wantReport: Report{Done: true},
		},
	})
}

// TestPlanCountsPodsThatMoved counts the pods of workloads that are on their way, too: a StatefulSet takes one after the other.
func TestPlanCountsPodsThatMoved(t *testing.T) {
	w := clusterWith(
		deployment("a", pods(target, target)), deployment("b", pods(former, target), pod(1, starts)), deployment("c", pods(target, former), pod(0, leaves)),
		workload(member.KindStatefulSet, "shop", "db", pods(former, former, target)), loose(Reference{}, "bare", func(p *Pod) { p.Revision, p.Ready = target, true }),
	)
	if report, _ := Plan(w, request()); report.MovedPods != 3 {
		t.Errorf("%d pods have moved, want two of a and one of db", report.MovedPods)
	}
}

// TestPlacesByDefault restarts a tenth of the workloads where a work order says nothing, as the API documents it.
func TestPlacesByDefault(t *testing.T) {
	for total, want := range map[int]int{0: 1, 9: 1, 40: 4, 500: 50} {
		if got := (&planner{Report: Report{Total: total}, request: request()}).places(); got != want {
			t.Errorf("of %d workloads %d restart at the same time, want %d", total, got, want)
		}
	}
}
