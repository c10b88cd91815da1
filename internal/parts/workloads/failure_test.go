package workloads

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/meshfleet/meshfleet/internal/member"
)

func TestPlanFailures(t *testing.T) {
	bad := []func(*part){restarted(target, time.Minute), rolling, pods(former, former, target)}
	checkPlans(t, map[string]planCase{
		"stops when a new pod does not stay up": {
			world:   clusterWith(deployment("a", append(bad, pod(2, crashes3))...), deployment("b")),
			request: request(atOnce(intstr.FromInt32(5))),
			wantReport: Report{Total: 2, Restarting: []string{"Deployment demo/a"}, Waiting: []string{"Deployment demo/b"},
				Failed: "Deployment demo/a: new pod a-2: container app does not stay up: exit code 1, Error"},
		},
		"does not blame the new revision for an old pod": {
			world:      clusterWith(deployment("a", append(bad, pod(0, crashes3))...)),
			request:    request(),
			wantReport: Report{Total: 1, Restarting: []string{"Deployment demo/a"}},
		},
		"stops when the Deployment gives up": {
			world: clusterWith(deployment("a", append(bad, with(func(w *Workload) { w.Stuck = "ProgressDeadlineExceeded: late" }))...),
				deployment("b")),
			request: request(atOnce(intstr.FromInt32(5))),
			wantReport: Report{Total: 2, Restarting: []string{"Deployment demo/a"}, Waiting: []string{"Deployment demo/b"},
				Failed: "Deployment demo/a: ProgressDeadlineExceeded: late"},
		},
		"does not believe what was said before the restart": {
			world: clusterWith(deployment("a", append(bad, with(func(w *Workload) {
				w.Settled, w.Stuck = false, "ProgressDeadlineExceeded: late"
			}))...)),
			request:    request(),
			wantReport: Report{Total: 1, Restarting: []string{"Deployment demo/a"}},
		},
		"stops when new pods have no proxy": {
			world:   clusterWith(deployment("a", restarted(target, time.Minute), pods("", "")), deployment("b")),
			request: request(atOnce(intstr.FromInt32(5))),
			wantReport: Report{Total: 2, Restarting: []string{"Deployment demo/a"}, Waiting: []string{"Deployment demo/b"},
				Failed: "Deployment demo/a: new pod a-0 has no proxy"},
		},
		"says that a quota keeps new pods away": {
			world:   clusterWith(deployment("a", append(bad, with(func(w *Workload) { w.Obstacle = "FailedCreate: exceeded quota" }))...)),
			request: request(),
			wantReport: Report{Total: 1, Restarting: []string{"Deployment demo/a"},
				Blocked: []string{"Deployment demo/a: FailedCreate: exceeded quota"}},
		},
		"goes back with what crashes, and no budget holds it": {
			world: clusterWith(deployment("a", append(bad, pod(2, crashes3))...), deployment("b"),
				budget("all", "", 0)),
			request:     request(goBack),
			wantReport:  Report{Total: 2, Moved: 1, Restarting: []string{"Deployment demo/a"}},
			wantRestart: []string{"Deployment demo/a for 1-28-3"},
		},
		"goes back with what serves, and no budget holds it": {
			world: clusterWith(deployment("a", restarted(target, time.Hour), pods(target, target)),
				deployment("b", restarted(target, time.Hour), pods(target, target)), budget("all", "", 0)),
			request:     request(goBack, atOnce(intstr.FromInt32(2))),
			wantReport:  Report{Total: 2, Restarting: []string{"Deployment demo/a", "Deployment demo/b"}},
			wantRestart: []string{"Deployment demo/a for 1-28-3", "Deployment demo/b for 1-28-3"},
		},
		"goes back from a revision that is well as far as budgets allow": {
			world: clusterWith(deployment("a", restarted(target, time.Hour), pods(target, target)),
				deployment("b", restarted(target, time.Hour), pods(target, target)), budget("strict", "a", 0), budget("lax", "b", 1)),
			request: request(takeBack, atOnce(intstr.FromInt32(2))),
			wantReport: Report{Total: 2, Restarting: []string{"Deployment demo/b"},
				Blocked: []string{"Deployment demo/a: PodDisruptionBudget strict forbids disruption"}},
			wantRestart: []string{"Deployment demo/b for 1-28-3"},
		},
		"goes back from a revision that is well with what is not available, and no budget holds it": {
			world: clusterWith(deployment("a", append(bad, pod(2, crashes3))...), deployment("b", restarted(target, time.Hour), pods(target, target)),
				budget("all", "", 0)),
			request: request(takeBack, atOnce(intstr.FromInt32(2))),
			wantReport: Report{Total: 2, Restarting: []string{"Deployment demo/a"},
				Waiting: []string{"Deployment demo/b: shares PodDisruptionBudget all with Deployment demo/a"}},
			wantRestart: []string{"Deployment demo/a for 1-28-3"},
		},
		"goes back with what has moved": {
			world: clusterWith(deployment("a", restarted(target, time.Hour), pods(target, target)),
				deployment("b", restarted(target, time.Hour), pods(target, target)), deployment("c")),
			request: request(goBack),
			wantReport: Report{Total: 3, Moved: 1, Restarting: []string{"Deployment demo/a"},
				Waiting: []string{"Deployment demo/b"}},
			wantRestart: []string{"Deployment demo/a for 1-28-3"},
		},
		"does not go back twice": {
			world:   clusterWith(deployment("a", restarted(former, time.Minute), rolling, pods(former, target))),
			request: request(goBack), wantReport: Report{Total: 1, Restarting: []string{"Deployment demo/a"}},
		},
		"names the pod that a StatefulSet waits for on the way back": {
			world: clusterWith(workload(member.KindStatefulSet, "demo", "db", restarted(former, time.Minute), unavailable,
				with(func(w *Workload) { w.Updated = 0 }), pods(former, target), pod(1, crashes3))),
			request: request(goBack),
			wantReport: Report{Total: 1, Restarting: []string{"StatefulSet demo/db"}, Blocked: []string{
				"StatefulSet demo/db: the StatefulSet waits for pod db-1, which must be deleted: container app does not stay up: exit code 1, Error"}},
		},
		"takes what was restarted for a target that was given up as busy": {
			world:      clusterWith(deployment("a", restarted("1-29-0", time.Minute), rolling, pods(former, "1-29-0")), deployment("b")),
			request:    request(),
			wantReport: Report{Total: 2, Waiting: []string{"Deployment demo/a: is being rolled out", "Deployment demo/b"}},
		},
	})
}
