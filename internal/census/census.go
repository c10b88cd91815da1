package census

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// keep is how long a count is kept that nobody asks for.
	keep = 30 * time.Second
	// bound is how long it may take to take a count.
	bound = 5 * time.Second
	// atOnce is how many counts are taken at the same time. One that hangs holds a place until its bound.
	atOnce = 32
)

// TakeFunc counts what a member has now.
type TakeFunc[T any] func(ctx context.Context) (T, error)

// Census has the last counts of members, all of one kind. The zero value is empty and ready.
type Census[T any] struct {
	mu      sync.Mutex
	members map[types.NamespacedName]*record[T]
	places  chan struct{}
}

// record is what is kept of one member.
type record[T any] struct {
	count   T
	takenAt time.Time
	// running is the count that is being taken now, or nil.
	running *run
	// unwanted forgets the record when it fires.
	unwanted *time.Timer
}

// run is a count that is being taken. Its fields may be read when it is done.
type run struct {
	done  chan struct{}
	began time.Time
	err   error
}

// Ask returns what the member has, as of so long ago at most. With an age of zero that is a count which begins after the
// call. It takes one if there is none, and waits for it until ctx ends. Who gets an answer may share it with others, and must
// not change it.
func (c *Census[T]) Ask(ctx context.Context, member types.NamespacedName, age time.Duration, take TakeFunc[T]) (T, error) {
	since := time.Now().Add(-age)
	var none T
	for {
		count, running := c.lastOrRun(ctx, member, since, take)
		if running == nil {
			return count, nil
		}
		select {
		case <-ctx.Done():
			return none, fmt.Errorf("wait for a count: %w", ctx.Err())
		case <-running.done:
		}
		if running.err != nil && !running.began.Before(since) {
			return none, running.err
		}
	}
}

// Forget drops what is known of a member.
func (c *Census[T]) Forget(member types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.members[member]; r != nil {
		r.unwanted.Stop()
		delete(c.members, member)
	}
}

// lastOrRun returns the last count if it is new enough, or else one that is being taken.
func (c *Census[T]) lastOrRun(ctx context.Context, member types.NamespacedName, since time.Time, take TakeFunc[T]) (T, *run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.want(member)
	if !r.takenAt.IsZero() && !r.takenAt.Before(since) {
		return r.count, nil
	}
	if r.running == nil {
		r.running = &run{done: make(chan struct{})}
		// Others may wait for it when ctx has ended.
		go c.count(context.WithoutCancel(ctx), r, r.running, take)
	}
	var none T
	return none, r.running
}

// want returns the record of a member, which stays for a while from now. The caller holds the lock.
func (c *Census[T]) want(member types.NamespacedName) *record[T] {
	if c.members == nil {
		c.members, c.places = map[types.NamespacedName]*record[T]{}, make(chan struct{}, atOnce)
	}
	r := c.members[member]
	if r == nil {
		r = &record[T]{}
		r.unwanted = time.AfterFunc(keep, func() { c.drop(member, r) })
		c.members[member] = r
	}
	r.unwanted.Reset(keep)
	return r
}

// drop forgets a record, unless there is another one by now.
func (c *Census[T]) drop(member types.NamespacedName, r *record[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.members[member] == r {
		delete(c.members, member)
	}
}

// count takes a count and tells those who wait for it.
func (c *Census[T]) count(ctx context.Context, r *record[T], running *run, take TakeFunc[T]) {
	c.places <- struct{}{}
	defer func() { <-c.places }()
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	running.began = time.Now()
	count, err := take(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.running = nil; err == nil {
		r.count, r.takenAt = count, running.began
	}
	running.err = err
	close(running.done)
}
