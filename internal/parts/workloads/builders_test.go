package workloads

import (
	"fmt"
	"maps"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/member"
)

// Revisions of the tests: workloads go from former to target, except on the way back.
const (
	former = "1-28-3"
	target = "1-29-1"
)

const istioSystem = "istio-system"

var now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// request asks for target everywhere.
func request(options ...func(*Request)) Request {
	r := Request{
		Namespace: istioSystem, Tags: map[string]string{"default": target, "prod": target},
		Revisions: []string{former, target}, Now: now,
	}
	for _, o := range options {
		o(&r)
	}
	return r
}

func atOnce(v intstr.IntOrString) func(*Request) { return func(r *Request) { r.MaxUnavailable = &v } }

func evicting(r *Request) { r.Method = meshv1alpha1.RestartMethodEvict }

func goBack(r *Request) {
	r.Tags, r.Back, r.HasFailed = map[string]string{"default": former, "prod": former}, true, true
}

// takeBack goes back from a revision that is well.
func takeBack(r *Request) {
	goBack(r)
	r.HasFailed = false
}

// clusterWith builds a World with the namespaces demo, injected by the tag default, and shop, by the tag prod.
func clusterWith(options ...func(*World)) World {
	w := World{
		Namespaces: map[string]map[string]string{
			"demo": {"istio-injection": "enabled"}, "shop": {"istio.io/rev": "prod"}, istioSystem: {},
		},
		ReplicaSets: map[types.NamespacedName]Reference{},
		Workloads:   map[Reference]Workload{},
	}
	for _, o := range options {
		o(&w)
	}
	return w
}

// part is a workload and its pods while they are built.
type part struct {
	Workload
	pods []Pod
}

// workload adds a healthy workload with two pods that have proxies of the former revision.
func workload(kind, namespace, name string, options ...func(*part)) func(*World) {
	return func(w *World) {
		p := part{Workload: Workload{
			Reference: Reference{Kind: kind, Namespace: namespace, Name: name},
			Settled:   true, Desired: 2, Existing: 2, Updated: 2, Available: 2, Evictable: 1,
		}}
		pods(former, former)(&p)
		for _, o := range options {
			o(&p)
		}
		w.Workloads[p.Reference] = p.Workload
		owner := p.Reference
		if kind == member.KindDeployment {
			owner = Reference{Kind: member.KindReplicaSet, Namespace: namespace, Name: name + "-5d4f"}
			w.ReplicaSets[types.NamespacedName{Namespace: namespace, Name: owner.Name}] = p.Reference
		}
		for _, pod := range p.pods {
			pod.Owner, pod.Labels = owner, map[string]string{"app": name}
			w.Pods = append(w.Pods, pod)
		}
	}
}

// deployment adds a Deployment to the namespace demo.
func deployment(name string, options ...func(*part)) func(*World) {
	return workload(member.KindDeployment, "demo", name, options...)
}

// pods replaces the pods by some with proxies of these revisions; an empty one has no proxy.
func pods(revisions ...string) func(*part) {
	return func(p *part) {
		p.pods = nil
		for i, r := range revisions {
			p.pods = append(p.pods, Pod{
				Namespace: p.Namespace, Name: fmt.Sprintf("%s-%d", p.Name, i), HasProxy: r != "", Revision: r, Ready: true,
			})
		}
	}
}

// pod changes the pod with that number.
func pod(i int, change func(*Pod)) func(*part) { return func(p *part) { change(&p.pods[i]) } }

func evicted(revision string, ago time.Duration) func(*part) {
	return with(func(w *Workload) {
		w.EvictedFor, w.EvictedAt = revision, now.Add(-ago).Format(time.RFC3339)
	})
}

// leaves and starts are states of pods.
func leaves(p *Pod) { p.Leaves, p.Ready = now.Add(20*time.Second), false }
func starts(p *Pod) { p.Ready = false }

func crashes3(p *Pod) { p.Crash = "container app does not stay up: exit code 1, Error" }

func with(change func(*Workload)) func(*part) { return func(p *part) { change(&p.Workload) } }

func restarted(revision string, ago time.Duration) func(*part) {
	return with(func(w *Workload) {
		w.RestartedFor, w.RestartedAt = revision, now.Add(-ago).Format(time.RFC3339)
	})
}

// rolling is in the middle of a rollout.
var rolling = with(func(w *Workload) { w.Existing, w.Updated = 3, 1 })

// unavailable has rolled out, but only one replica serves.
var unavailable = with(func(w *Workload) { w.Available = 1 })

// loose adds pods with proxies of the former revision that are not of a known workload.
func loose(owner Reference, name string, change ...func(*Pod)) func(*World) {
	return func(w *World) {
		p := Pod{Namespace: "demo", Name: name, Owner: owner, HasProxy: true, Revision: former}
		for _, c := range change {
			c(&p)
		}
		w.Pods = append(w.Pods, p)
	}
}

func namespace(name string, marks map[string]string) func(*World) {
	return func(w *World) { w.Namespaces[name] = maps.Clone(marks) }
}

func budget(name, app string, allowed int32) func(*World) {
	selector := labels.Everything()
	if app != "" {
		selector = labels.SelectorFromSet(labels.Set{"app": app})
	}
	return func(w *World) {
		w.Budgets = append(w.Budgets, Budget{Namespace: "demo", Name: name, Selector: selector, Allowed: allowed})
	}
}

func controller(apiVersion, kind, name string) metav1.OwnerReference {
	yes := true
	return metav1.OwnerReference{APIVersion: apiVersion, Kind: kind, Name: name, UID: "uid-" + types.UID(name), Controller: &yes}
}
