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
type TakeFunc func(ctx context.Context) (Hosts, error)

// Census has the last counts of members. The zero value is empty and ready.
type Census struct {
	mu      sync.Mutex
	members map[types.NamespacedName]*record
	places  chan struct{}
}

// record is what is kept of one member.
type record struct {
	hosts   Hosts
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
// call. It takes one if there is none, and waits for it until ctx ends.
func (c *Census) Ask(ctx context.Context, member types.NamespacedName, age time.Duration, take TakeFunc) (Hosts, error) {
	since := time.Now().Add(-age)
	for {
		hosts, running := c.lastOrRun(ctx, member, since, take)
		if running == nil {
			return hosts, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for a count: %w", ctx.Err())
		case <-running.done:
		}
		if running.err != nil && !running.began.Before(since) {
			return nil, running.err
		}
	}
}

// Forget drops what is known of a member.
func (c *Census) Forget(member types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.members[member]; r != nil {
		r.unwanted.Stop()
		delete(c.members, member)
	}
}

// lastOrRun returns the last count if it is new enough, or else one that is being taken.
func (c *Census) lastOrRun(ctx context.Context, member types.NamespacedName, since time.Time, take TakeFunc) (Hosts, *run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.want(member)
	if !r.takenAt.IsZero() && !r.takenAt.Before(since) {
		return r.hosts, nil
	}
	if r.running == nil {
		r.running = &run{done: make(chan struct{})}
		// Others may wait for it when ctx has ended.
		go c.count(context.WithoutCancel(ctx), r, r.running, take)
	}
	return nil, r.running
}

// want returns the record of a member, which stays for a while from now. The caller holds the lock.
func (c *Census) want(member types.NamespacedName) *record {
	if c.members == nil {
		c.members, c.places = map[types.NamespacedName]*record{}, make(chan struct{}, atOnce)
	}
	r := c.members[member]
	if r == nil {
		r = &record{}
		r.unwanted = time.AfterFunc(keep, func() { c.drop(member, r) })
		c.members[member] = r
	}
	r.unwanted.Reset(keep)
	return r
}

// drop forgets a record, unless there is another one by now.
func (c *Census) drop(member types.NamespacedName, r *record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.members[member] == r {
		delete(c.members, member)
	}
}

// count takes a count and tells those who wait for it.
func (c *Census) count(ctx context.Context, r *record, running *run, take TakeFunc) {
	c.places <- struct{}{}
	defer func() { <-c.places }()
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	running.began = time.Now()
	hosts, err := take(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.running = nil; err == nil {
		r.hosts, r.takenAt = hosts, running.began
	}
	running.err = err
	close(running.done)
}
