package hub

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Written keeps a reconciler's own objects as it has last written them. A pass may begin before the cache has the write of
// the pass before: judged by that older status, a change back looks like no change, would not be written, and no event would
// follow. The zero value is ready for use.
type Written[T client.Object] struct {
	mu   sync.Mutex
	last map[types.NamespacedName]T
}

// Note keeps an object as the API server returned it after a write.
func (w *Written[T]) Note(o T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil {
		w.last = map[types.NamespacedName]T{}
	}
	if written, ok := o.DeepCopyObject().(T); ok {
		w.last[client.ObjectKeyFromObject(o)] = written
	}
}

// Newest is an object as the cache has it, or as it was last written if that is newer. Resource versions of one kind can be
// compared since Kubernetes 1.35 says so (KEP-5504), and could before on every server that uses etcd. Those of another server
// that are no numbers leave the cache's.
func (w *Written[T]) Newest(cached T) T {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := client.ObjectKeyFromObject(cached)
	written, isThere := w.last[key]
	if !isThere {
		return cached
	}
	order, err := resourceversion.CompareResourceVersion(written.GetResourceVersion(), cached.GetResourceVersion())
	if err != nil || order <= 0 || written.GetUID() != cached.GetUID() {
		delete(w.last, key)
		return cached
	}
	if newer, ok := written.DeepCopyObject().(T); ok {
		return newer
	}
	return cached
}

// Forget drops an object that does not exist any more.
func (w *Written[T]) Forget(key types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.last, key)
}
