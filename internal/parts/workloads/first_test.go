package workloads

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
)

// shopFirst makes the namespace shop go before demo.
func shopFirst(r *Request) { r.First = labels.SelectorFromSet(labels.Set{"istio.io/rev": "prod"}) }

func checked(r *Request) { r.Checked = true }

func TestPlanFirstNamespaces(t *testing.T) {
	const waits, unchecked = "waits for the first namespaces", "waits until the first namespaces are checked"
	shop := func(name string, options ...func(*part)) func(*World) {
		return workload(member.KindDeployment, "shop", name, options...)
	}
	moved := pods(target, target)
	all := atOnce(intstr.FromInt32(9))
	checkPlans(t, map[string]planCase{
		"moves the first namespaces before all others": {
			world: clusterWith(deployment("a"), shop("b"), shop("c")), request: request(all, shopFirst),
			wantReport: Report{Total: 3, Restarting: []string{"Deployment shop/b", "Deployment shop/c"},
				Waiting: []string{"Deployment demo/a: " + waits}},
			wantRestart: []string{"Deployment shop/b for 1-29-1", "Deployment shop/c for 1-29-1"},
		},
		"waits for the last of them": {
			world:   clusterWith(deployment("a"), shop("b", moved), shop("c", restarted(target, 0), rolling)),
			request: request(all, shopFirst, checked),
			wantReport: Report{Total: 3, Moved: 1, Restarting: []string{"Deployment shop/c"},
				Waiting: []string{"Deployment demo/a: " + waits}},
		},
		"asks for a check before the rest": {
			world: clusterWith(deployment("a"), shop("b", moved)), request: request(all, shopFirst),
			wantReport: Report{Total: 2, Moved: 1, Check: true, Waiting: []string{"Deployment demo/a: " + unchecked}},
		},
		"goes on after the check": {
			world: clusterWith(deployment("a"), shop("b", moved)), request: request(all, shopFirst, checked),
			wantReport:  Report{Total: 2, Moved: 1, Restarting: []string{"Deployment demo/a"}},
			wantRestart: []string{"Deployment demo/a for 1-29-1"},
		},
		"knows from what is there that the check was passed": {
			world:   clusterWith(deployment("a"), deployment("d", restarted(target, time.Minute), moved), shop("b", moved)),
			request: request(all, shopFirst),
			wantReport: Report{Total: 3, Moved: 2,
				Restarting: []string{"Deployment demo/a"}},
			wantRestart: []string{"Deployment demo/a for 1-29-1"},
		},
		"does not take pods that came since for a passed check": {
			world:   clusterWith(deployment("a"), deployment("d", moved), shop("b", moved)),
			request: request(all, shopFirst),
			wantReport: Report{Total: 3, Moved: 2, Check: true,
				Waiting: []string{"Deployment demo/a: " + unchecked}},
		},
		"does not wait for namespaces without workloads": {
			world: clusterWith(deployment("a"), shop("b", pods("", ""))), request: request(all, shopFirst),
			wantReport:  Report{Total: 1, Restarting: []string{"Deployment demo/a"}},
			wantRestart: []string{"Deployment demo/a for 1-29-1"},
		},
		"does not wait for what is skipped": {
			world:   clusterWith(deployment("a"), shop("b", with(func(w *Workload) { w.Injection.Out = true }))),
			request: request(all, shopFirst),
			wantReport: Report{Total: 1, Restarting: []string{"Deployment demo/a"},
				Skipped: []string{"Deployment shop/b: opted out of injection"}},
			wantRestart: []string{"Deployment demo/a for 1-29-1"},
		},
		"holds the rest while one of them is blocked": {
			world:   clusterWith(deployment("a"), shop("b", unavailable)),
			request: request(all, shopFirst),
			wantReport: Report{Total: 2, Waiting: []string{"Deployment demo/a: " + waits},
				Blocked: []string{"Deployment shop/b: 1 of 2 replicas are available before the restart"}},
		},
		"needs no check when nothing is left": {
			world: clusterWith(deployment("a", moved), shop("b", moved)), request: request(all, shopFirst),
			wantReport: Report{Total: 2, Moved: 2, Done: true},
		},
		"goes back in no order": {
			world:       clusterWith(deployment("a", moved), shop("b", moved)),
			request:     request(all, shopFirst, goBack),
			wantReport:  Report{Total: 2, Restarting: []string{"Deployment demo/a", "Deployment shop/b"}},
			wantRestart: []string{"Deployment demo/a for 1-28-3", "Deployment shop/b for 1-28-3"},
		},
		"evicts in that order, too": {
			world:       clusterWith(deployment("a"), shop("b", evicted(target, time.Minute), pods(former, target))),
			request:     request(all, shopFirst, evicting),
			wantReport:  Report{Total: 2, Restarting: []string{"Deployment shop/b"}, Waiting: []string{"Deployment demo/a: " + waits}},
			wantRestart: []string{"Deployment shop/b for 1-29-1, evict b-0"},
		},
	})
}

// TestFirstNamespacesToTheEnd wants the namespace demo untouched until shop has moved and was checked.
func TestFirstNamespacesToTheEnd(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			s := newSimulation(t, seed)
			r := request(atOnce(intstr.FromInt32(3)), shopFirst)
			for pass := 0; !s.step(&r); pass++ {
				if pass == toTheEnd {
					t.Fatal("not done")
				}
			}
			s.verify(target)
		})
	}
}

// step makes a pass, checks when asked to, and forgets that it did. True: all is done.
func (s *simulation) step(r *Request) bool {
	s.now = s.now.Add(time.Second)
	r.Now, r.Checked = s.now, false
	report, batch := Plan(s.world, *r)
	if report.Check && s.random.IntN(3) == 0 {
		r.Checked = true
		report, batch = Plan(s.world, *r)
	}
	for _, w := range batch {
		if w.Namespace == "demo" && s.hasFormer("shop") {
			s.Fatalf("%s is restarted before the namespace shop has moved", w.Reference)
		}
		s.restart(w)
	}
	s.progress(target)
	return report.Done
}

func (s *simulation) hasFormer(namespace string) bool {
	for _, p := range s.world.Pods {
		if p.Namespace == namespace && p.Revision == former {
			return true
		}
	}
	return false
}

func TestMethodsHaveNames(t *testing.T) {
	// A request without a method restarts: MeshMembers that were written before the field was known have none.
	w := clusterWith(deployment("a"))
	for method, evicts := range map[meshv1alpha1.RestartMethod]bool{
		"": false, meshv1alpha1.RestartMethodRolloutRestart: false, meshv1alpha1.RestartMethodEvict: true,
	} {
		_, batch := Plan(w, request(func(r *Request) { r.Method = method }))
		if got := len(batch[0].Evict) > 0; got != evicts {
			t.Errorf("method %q evicts: %t, want %t", method, got, evicts)
		}
	}
}
