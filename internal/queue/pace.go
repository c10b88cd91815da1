// Package queue decides when what is queued for the reconcilers is worked on, and in which order.
package queue

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
)

// LeastPace is the least time between the beginnings of two passes over an object that others cause: members over their installation, and
// over each other. Such a pass reads all members, and one for each report of each of them would be a pass without end in a large mesh.
const LeastPace = time.Second

// Pace knows when passes began. The zero value is ready for use.
type Pace struct {
	mu   sync.Mutex
	last map[types.NamespacedName]time.Time
}

// Began notes that a pass begins.
func (p *Pace) Began(key types.NamespacedName, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last = map[types.NamespacedName]time.Time{}
	}
	p.last[key] = now
}

// Forget drops an object that does not exist any more.
func (p *Pace) Forget(key types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.last, key)
}

// after is how long the next pass has to wait. Zero: it may begin.
func (p *Pace) after(key types.NamespacedName, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, isThere := p.last[key]
	if !isThere {
		return 0
	}
	return max(LeastPace-now.Sub(last), 0)
}

// Spread lets events of a handler wait until LeastPace has passed since the last pass over the same object began. The first of them causes a
// pass at once, all that follow within LeastPace cause one together. Events of other handlers do not wait.
func Spread[R comparable](p *Pace, key func(R) types.NamespacedName, h handler.TypedEventHandler[client.Object, R]) handler.TypedEventHandler[client.Object, R] {
	type queue = workqueue.TypedRateLimitingInterface[R]
	through := func(q queue) queue {
		if prioritised, ok := q.(priorityqueue.PriorityQueue[R]); ok {
			return spreadQueue[R]{prioritised, p, key}
		}
		return q
	}
	return handler.TypedFuncs[client.Object, R]{
		CreateFunc:  func(ctx context.Context, e event.CreateEvent, q queue) { h.Create(ctx, e, through(q)) },
		UpdateFunc:  func(ctx context.Context, e event.UpdateEvent, q queue) { h.Update(ctx, e, through(q)) },
		DeleteFunc:  func(ctx context.Context, e event.DeleteEvent, q queue) { h.Delete(ctx, e, through(q)) },
		GenericFunc: func(ctx context.Context, e event.GenericEvent, q queue) { h.Generic(ctx, e, through(q)) },
	}
}

// spreadQueue puts off what is added to it.
type spreadQueue[R comparable] struct {
	priorityqueue.PriorityQueue[R]

	pace *Pace
	key  func(R) types.NamespacedName
}

// Add adds one request.
func (q spreadQueue[R]) Add(r R) { q.AddWithOpts(priorityqueue.AddOpts{}, r) }

// AddWithOpts adds requests.
func (q spreadQueue[R]) AddWithOpts(o priorityqueue.AddOpts, requests ...R) {
	for _, r := range requests {
		after := o
		after.After = max(o.After, q.pace.after(q.key(r), time.Now()))
		q.PriorityQueue.AddWithOpts(after, r)
	}
}
