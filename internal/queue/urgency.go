package queue

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mchandler "sigs.k8s.io/multicluster-runtime/pkg/handler"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// Priorities of members in the queue. A member of a higher one is worked on before all of a lower one that wait.
const (
	// looking is that of a member in which nothing changes.
	looking = 0
	// beginning is that of one that joins, leaves, or restarts its istiod.
	beginning = 10
	// changing is that of one whose workloads or gateways an upgrade moves.
	changing = 20
	// rollingBack is that of one that is rolled back.
	rollingBack = 30
)

// urgencyOf is the priority of a member.
func urgencyOf(m *meshv1alpha1.MeshMember) int {
	if order := m.Spec.Rollout; order != nil {
		switch order.Stage {
		case meshv1alpha1.StageRollback, meshv1alpha1.StageDiscard:
			return rollingBack
		case meshv1alpha1.StageInstall, meshv1alpha1.StageGateways, meshv1alpha1.StageWorkloads:
			return changing
		case meshv1alpha1.StagePreflight, meshv1alpha1.StageSoak, meshv1alpha1.StageRetire:
		}
	}
	if m.Spec.Removal == meshv1alpha1.RemovalNow || mesh.IsRestarting(m) || !mesh.HasServed(m) {
		return beginning
	}
	return looking
}

// Urgencies are the priorities of the members that do not only look. The zero value is ready for use.
type Urgencies struct{ members sync.Map } // types.NamespacedName → int

// Note keeps the priority of a member as of its present work order.
func (u *Urgencies) Note(m *meshv1alpha1.MeshMember) {
	if urgency := urgencyOf(m); urgency != looking {
		u.members.Store(client.ObjectKeyFromObject(m), urgency)
	} else {
		u.members.Delete(client.ObjectKeyFromObject(m))
	}
}

func (u *Urgencies) of(key types.NamespacedName) int {
	urgency, _ := u.members.Load(key)
	n, _ := urgency.(int)
	return n
}

// Forget drops a member that is gone.
func (u *Urgencies) Forget(key types.NamespacedName) { u.members.Delete(key) }

// Own requests the MeshMember itself, by its newest priority.
func (u *Urgencies) Own(multicluster.ClusterName, cluster.Cluster) mchandler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[mcreconcile.Request]
	add := func(o client.Object, q queue) {
		if m, ok := o.(*meshv1alpha1.MeshMember); ok {
			u.Note(m)
		}
		q.Add(mcreconcile.Request{Request: reconcile.Request{NamespacedName: client.ObjectKeyFromObject(o)}})
	}
	return handler.TypedFuncs[client.Object, mcreconcile.Request]{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { add(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { add(e.ObjectNew, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { add(e.Object, q) },
	}
}

// Queue makes the queue of members.
func (u *Urgencies) Queue(name string, limiter workqueue.TypedRateLimiter[mcreconcile.Request]) workqueue.TypedRateLimitingInterface[mcreconcile.Request] {
	return urgentQueue{u, priorityqueue.New(name, func(o *priorityqueue.Opts[mcreconcile.Request]) { o.RateLimiter = limiter })}
}

// urgentQueue gives each member its priority, whatever has requested it: an event, a timer, or a failure.
type urgentQueue struct {
	urgencies *Urgencies

	priorityqueue.PriorityQueue[mcreconcile.Request]
}

// Add adds one request.
func (q urgentQueue) Add(r mcreconcile.Request) { q.AddWithOpts(priorityqueue.AddOpts{}, r) }

// AddAfter adds one request after a while.
func (q urgentQueue) AddAfter(r mcreconcile.Request, after time.Duration) {
	q.AddWithOpts(priorityqueue.AddOpts{After: after}, r)
}

// AddRateLimited adds one request after a failure.
func (q urgentQueue) AddRateLimited(r mcreconcile.Request) {
	q.AddWithOpts(priorityqueue.AddOpts{RateLimited: true}, r)
}

// AddWithOpts adds requests. The priority of an earlier pass does not outlast what made it urgent.
func (q urgentQueue) AddWithOpts(o priorityqueue.AddOpts, requests ...mcreconcile.Request) {
	for _, r := range requests {
		urgency := q.urgencies.of(r.NamespacedName)
		if urgency == looking && o.Priority != nil {
			urgency = min(*o.Priority, looking)
		}
		with := o
		with.Priority = &urgency
		q.PriorityQueue.AddWithOpts(with, r)
	}
}
