package harness

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// rollPace is how often a client's pods are looked at. A pod that stops answers for a few seconds more than its last
// request takes.
const rollPace = 500 * time.Millisecond

// Rolling is load from one client to some addresses that outlives the client's pods: a restart, which an upgrade makes,
// is part of what users see. While a pod goes, its final report is fetched and the load goes on in the new one; what a
// pod has sent is counted once, and a report that cannot be had is an error.
type Rolling struct {
	client    Client
	urls      []string
	perSecond int
	cancel    context.CancelFunc
	done      chan struct{}

	mu      sync.Mutex
	running []*Load               // in the present pod
	ended   map[string]LoadReport // by address, of the pods that are gone
	pods    int
	errs    []error
}

// StartRolling starts a load of the given rate to each address.
func (c Client) StartRolling(ctx context.Context, urls []string, perSecond int) (*Rolling, error) {
	r := &Rolling{client: c, urls: urls, perSecond: perSecond, done: make(chan struct{}), ended: map[string]LoadReport{}}
	if err := r.start(ctx); err != nil {
		return nil, errors.Join(err, r.finish(context.WithoutCancel(ctx)))
	}
	follow, cancel := context.WithCancel(ctx)
	r.cancel = cancel
	go r.follow(follow)
	return r, nil
}

// start starts the loads that do not run.
func (r *Rolling) start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, url := range r.urls[len(r.running):] {
		l, err := r.client.StartLoad(ctx, url, r.perSecond)
		if err != nil {
			return err
		}
		if r.running = append(r.running, l); len(r.running) == 1 {
			r.pods++
		}
	}
	return nil
}

// follow moves the loads when their pod goes.
func (r *Rolling) follow(ctx context.Context) {
	defer close(r.done)
	tick := time.NewTicker(rollPace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if going, err := r.isGoing(ctx); err != nil || !going {
			continue // asked again; a pod that was missed has no report, which is an error then
		}
		if !r.move(ctx) {
			return
		}
	}
}

// move ends the loads of a pod that goes and starts them in the next. It returns false when there is nothing to follow any
// more. What has begun is not cut off by the end of ctx: an order whose answer is not awaited would go uncounted.
func (r *Rolling) move(ctx context.Context) bool {
	whole := context.WithoutCancel(ctx)
	for err := r.finish(whole); err == nil && ctx.Err() == nil; err = r.finish(whole) {
		if r.start(whole) == nil {
			return true
		}
		time.Sleep(rollPace) // no pod is ready yet
	}
	return false
}

// isGoing tells whether the pod of the present loads stops or is gone.
func (r *Rolling) isGoing(ctx context.Context) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.running) == 0 {
		return false, nil
	}
	p := &corev1.Pod{}
	err := r.client.cluster.Client.Get(ctx, client.ObjectKey{Namespace: r.client.namespace, Name: r.running[0].pod}, p)
	if isAbsent(err) {
		return true, nil
	}
	return err == nil && p.DeletionTimestamp != nil, err
}

// finish ends the present loads and keeps their reports.
func (r *Rolling) finish(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, l := range r.running {
		report, err := l.stopPatiently(ctx)
		if err != nil {
			errs = append(errs, fmt.Errorf("final report of %s from pod %q: %w", l, l.pod, err))
			continue
		}
		sum := r.ended[l.url]
		sum.add(report)
		r.ended[l.url] = sum
	}
	r.running = nil
	r.errs = append(r.errs, errs...)
	return errors.Join(errs...)
}

// stopPatiently is Stop for a pod that is about to go, through an API server that is busy: stopping twice does no harm.
func (l *Load) stopPatiently(ctx context.Context) (LoadReport, error) {
	var report LoadReport
	var err error
	for range 4 {
		if report, err = l.Stop(ctx); err == nil || isAbsent(err) {
			return report, err
		}
		time.Sleep(rollPace)
	}
	return report, err
}

// Sum is what has come of the load so far, of all pods together.
func (r *Rolling) Sum(ctx context.Context) (LoadReport, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var sum LoadReport
	for _, report := range r.ended {
		sum.add(report)
	}
	for _, l := range r.running {
		report, err := l.Report(ctx)
		if err != nil {
			return sum, err
		}
		sum.add(report)
	}
	return sum, nil
}

// Stop ends the load and returns what came of it by address, and from how many pods it was sent.
func (r *Rolling) Stop(ctx context.Context) (reports map[string]LoadReport, pods int, err error) {
	r.cancel()
	<-r.done
	_ = r.finish(ctx) // its errors are kept
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended, r.pods, errors.Join(r.errs...)
}
