package fleet

import (
	"context"
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// listeners are told of every change of a member's State. Workqueues take and merge keys without blocking, unlike
// channels, so a slow controller cannot hold up a member.
type listeners struct {
	mu    sync.Mutex
	next  int
	calls map[int]func(types.NamespacedName)
}

func (l *listeners) add(call func(types.NamespacedName)) (remove func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls == nil {
		l.calls = map[int]func(types.NamespacedName){}
	}
	id := l.next
	l.next++
	l.calls[id] = call
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.calls, id)
	}
}

func (l *listeners) tell(key types.NamespacedName) {
	l.mu.Lock()
	calls := slices.Collect(maps.Values(l.calls))
	l.mu.Unlock()
	for _, call := range calls {
		call(key)
	}
}

// Changes is a source for a controller of the hub. It requests the MeshMember of a member whenever its State changes.
func (p *Provider) Changes() source.Source {
	return Changes(p, func(key types.NamespacedName) reconcile.Request {
		return reconcile.Request{NamespacedName: key}
	})
}

// Changes is Provider.Changes for controllers with another type of request.
func Changes[request comparable](p *Provider, make func(types.NamespacedName) request) source.TypedSource[request] {
	return source.TypedFunc[request](func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[request]) error {
		remove := p.listeners.add(func(key types.NamespacedName) { queue.Add(make(key)) })
		context.AfterFunc(ctx, remove)
		return nil
	})
}
