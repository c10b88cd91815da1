// Package workloads moves the workloads of one member to the revision that their namespace's tag asks for: it restarts
// those whose pods have a proxy of another revision, a few at a time. The way back is the same: the tag points at the
// old revision again, and whatever differs is restarted.
//
// A workload with proxies is in one of these states, which are read anew in each pass:
//
//	differs ──gates pass, room in the batch──▶ Restarting ──rolled out, no other revision left──▶ Moved
//	   │ ▲                                         │  │
//	   │ └──rolled out, yet pods still differ──────┘  └──crash loop, deadline, no proxy──▶ Failed (no more restarts)
//	   ├──no room, rollout of somebody else──▶ Waiting
//	   ├──PodDisruptionBudget, paused, OnDelete, not available──▶ Blocked
//	   └──nothing that we may or can restart──▶ Skipped
//
// What must stay true:
//
//   - A pod's revision is what the injector wrote on it. The revision that it should have follows the selectors of the
//     injection webhooks and nothing else: a wrong answer would restart a workload for ever.
//   - No more workloads restart at the same time than the request allows. A restarted one takes its place until it has
//     rolled out and its last pod of another revision is gone.
//   - A restart is a pair of annotations on the pod template, written only if they still are as they were read. So an
//     operator that is killed at any point, or acts on an old reading, restarts nothing twice.
//   - A rolling update does not ask PodDisruptionBudgets. So we do, before it starts.
//   - Evictions go on only while no more pods are missing than an update of the workload would take away. They are noted
//     on the workload itself, whose template stays as it is; what is missing is counted from the pods, not remembered.
//   - Pods of owners of unknown kinds are evicted only where an annotation of theirs permits it and a PodDisruptionBudget selects
//     them, one at a time and while all of them serve.
//
// What istiod makes for a Gateway of the Gateway API is never restarted here: when the tag has moved, istiod of the other
// revision writes the template anew, and the workload goes
//
//	not taken over ──istiod writes the template──▶ being replaced ──every pod is of that template──▶ Moved
//
// Until then it takes its place in the batch. What a pod of it says of its revision was written by istiod, not by the injector.
//
// Trade-off: a workload that was rolled out again, but whose pods are of another revision than it was restarted for, is
// restarted again after a pause and not reported as failed. It happens when API servers learn of a moved tag late, and
// when somebody's rollout or an upgrade that was given up came in between.
package workloads

import (
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/meshfleet/meshfleet/internal/member"
)

// Part is what moving workloads takes: nothing that is made, and the permissions to read and restart what users run. The stages of an
// upgrade call Move.
func Part() member.Part {
	return member.Part{
		Name: "workloads",
		Rules: []rbacv1.PolicyRule{
			// Workloads that have a proxy of another revision than wanted are restarted, by an annotation. Users' workloads are
			// patched and nothing else.
			member.Rule("apps", []string{"get", "list", "patch"}, "daemonsets", "deployments", "statefulsets"),
			member.Rule("apps", member.Read, "replicasets"),
			member.Rule("policy", member.Read, "poddisruptionbudgets"),
			member.Rule("", member.Read, "namespaces", "pods"),
			// With spec.dataPlane.restart.method Evict, or where an annotation permits it, their pods are evicted instead, as
			// PodDisruptionBudgets permit. Pods are never deleted otherwise.
			member.Rule("", []string{"create"}, "pods/eviction"),
			// Gateways of the Gateway API: which revision they ask for.
			member.Rule("gateway.networking.k8s.io", member.Read, "gateways"),
		},
	}
}
