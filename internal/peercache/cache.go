package peercache

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// retention is how long a value is kept after the last Get.
	retention = 30 * time.Second
	// loadDeadline bounds one load.
	loadDeadline = 5 * time.Second
	// maxLoads is how many loads run at the same time. One that hangs holds a slot until its deadline.
	maxLoads = 32
)

// LoadFunc reads the present value of a member.
type LoadFunc[T any] func(ctx context.Context) (T, error)

// Cache has the last values of members, all of one kind. The zero value is empty and ready.
type Cache[T any] struct {
	mu      sync.Mutex
	members map[types.NamespacedName]*entry[T]
	slots   chan struct{}
}

// entry is what is kept of one member.
type entry[T any] struct {
	value    T
	loadedAt time.Time
	// running is the load under way, or nil.
	running *load
	// expiry drops the entry when it fires.
	expiry *time.Timer
}

// load is one that is under way. Its fields may be read when it is done.
type load struct {
	done  chan struct{}
	began time.Time
	err   error
}

// Get returns the value of a member, at most maxAge old. With a maxAge of zero the load begins after the call. It loads if there is no
// such value, and waits for that until ctx ends. The value may be shared and must not be changed.
//
// Errors: that of the load, and that of ctx.
func (c *Cache[T]) Get(ctx context.Context, member types.NamespacedName, maxAge time.Duration, read LoadFunc[T]) (T, error) {
	since := time.Now().Add(-maxAge)
	var none T
	for {
		value, running := c.lastOrRunning(ctx, member, since, read)
		if running == nil {
			return value, nil
		}
		select {
		case <-ctx.Done():
			return none, fmt.Errorf("wait for a load: %w", ctx.Err())
		case <-running.done:
		}
		if running.err != nil && !running.began.Before(since) {
			return none, running.err
		}
	}
}

// Forget drops the value of a member.
func (c *Cache[T]) Forget(member types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.members[member]; e != nil {
		e.expiry.Stop()
		delete(c.members, member)
	}
}

// lastOrRunning returns the last value if it is new enough, or else the load under way, which it starts if there is none.
func (c *Cache[T]) lastOrRunning(ctx context.Context, member types.NamespacedName, since time.Time, read LoadFunc[T]) (T, *load) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.keep(member)
	if !e.loadedAt.IsZero() && !e.loadedAt.Before(since) {
		return e.value, nil
	}
	if e.running == nil {
		e.running = &load{done: make(chan struct{})}
		// Others may wait for it when ctx has ended.
		go c.load(context.WithoutCancel(ctx), e, e.running, read)
	}
	var none T
	return none, e.running
}

// keep returns the entry of a member and starts its retention anew. The caller holds the lock.
func (c *Cache[T]) keep(member types.NamespacedName) *entry[T] {
	if c.members == nil {
		c.members, c.slots = map[types.NamespacedName]*entry[T]{}, make(chan struct{}, maxLoads)
	}
	e := c.members[member]
	if e == nil {
		e = &entry[T]{}
		e.expiry = time.AfterFunc(retention, func() { c.drop(member, e) })
		c.members[member] = e
	}
	e.expiry.Reset(retention)
	return e
}

// drop removes an entry, unless there is another one by now.
func (c *Cache[T]) drop(member types.NamespacedName, e *entry[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.members[member] == e {
		delete(c.members, member)
	}
}

// load reads a value and wakes those who wait for it.
func (c *Cache[T]) load(ctx context.Context, e *entry[T], running *load, read LoadFunc[T]) {
	c.slots <- struct{}{}
	defer func() { <-c.slots }()
	ctx, cancel := context.WithTimeout(ctx, loadDeadline)
	defer cancel()
	running.began = time.Now()
	value, err := read(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.running = nil; err == nil {
		e.value, e.loadedAt = value, running.began
	}
	running.err = err
	close(running.done)
}
