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
	// loadDeadline bounds the first load of a member. After one that took longer, the next one has twice the time, up to
	// maxLoadDeadline: what is read grows with the member.
	loadDeadline    = 5 * time.Second
	maxLoadDeadline = 2 * time.Minute
	// spare is how many times as long as the last load the next one may take.
	spare = 3
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
	// deadlines are those of members that need more than loadDeadline. They outlast the values.
	deadlines map[types.NamespacedName]time.Duration
}

// entry is what is kept of one member.
type entry[T any] struct {
	value    T
	loadedAt time.Time
	// running is the load under way, or nil.
	running *load[T]
	// expiry drops the entry when it fires.
	expiry *time.Timer
}

// load is one that is under way. Its fields may be read when it is done.
type load[T any] struct {
	done  chan struct{}
	began time.Time
	value T
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
		// Who has waited gets what was loaded, also when the entry is dropped at this moment.
		if !running.began.Before(since) {
			return running.value, running.err
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
	delete(c.deadlines, member)
}

// lastOrRunning returns the last value if it is new enough, or else the load under way, which it starts if there is none.
func (c *Cache[T]) lastOrRunning(ctx context.Context, member types.NamespacedName, since time.Time, read LoadFunc[T]) (T, *load[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.keep(member)
	if !e.loadedAt.IsZero() && !e.loadedAt.Before(since) {
		return e.value, nil
	}
	if e.running == nil {
		e.running = &load[T]{done: make(chan struct{})}
		// Others may wait for it when ctx has ended.
		go c.load(context.WithoutCancel(ctx), member, e, e.running, read)
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

// drop removes an entry, unless there is another one by now. One that is being loaded stays: those who wait for it would load it again.
func (c *Cache[T]) drop(member types.NamespacedName, e *entry[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case e.running != nil:
		e.expiry.Reset(retention)
	case c.members[member] == e:
		delete(c.members, member)
	}
}

// load reads a value and wakes those who wait for it.
func (c *Cache[T]) load(ctx context.Context, member types.NamespacedName, e *entry[T], running *load[T], read LoadFunc[T]) {
	c.slots <- struct{}{}
	defer func() { <-c.slots }()
	deadline := c.deadline(member)
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	running.began = time.Now()
	value, err := read(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.setDeadline(member, spare*time.Since(running.began))
	case ctx.Err() != nil:
		c.setDeadline(member, 2*deadline)
		err = &slowError{deadline, err}
	}
	if e.running = nil; err == nil {
		e.value, e.loadedAt = value, running.began
		running.value = value
	}
	running.err = err
	close(running.done)
}

// deadline bounds the next load of a member.
func (c *Cache[T]) deadline(member types.NamespacedName) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(c.deadlines[member], loadDeadline)
}

// setDeadline keeps the deadline of the next load, if it is longer than others'. The caller holds the lock.
func (c *Cache[T]) setDeadline(member types.NamespacedName, deadline time.Duration) {
	if deadline <= loadDeadline {
		delete(c.deadlines, member)
		return
	}
	if c.deadlines == nil {
		c.deadlines = map[types.NamespacedName]time.Duration{}
	}
	c.deadlines[member] = min(deadline, maxLoadDeadline)
}

// slowError is a load that did not end in time.
type slowError struct {
	after time.Duration
	err   error
}

func (e *slowError) Error() string { return fmt.Sprintf("no answer in %s", e.after) }
func (e *slowError) Unwrap() error { return e.err }
