package fleet

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"
)

const (
	// engageTimeout bounds how long controllers may take to engage one cluster.
	engageTimeout = 30 * time.Second
	backoffStart  = 500 * time.Millisecond
	backoffJitter = 0.25
	// backoffCap with the jitter is 30 s.
	backoffCap = 24 * time.Second
)

func newBackoff() wait.Backoff {
	return wait.Backoff{Duration: backoffStart, Factor: 2, Jitter: backoffJitter, Steps: 10, Cap: backoffCap}
}

// start runs the caches and engages the cluster. Both end when ctx does, or with close.
func (c *connection) start(ctx context.Context, name multicluster.ClusterName, aware multicluster.Aware) {
	ctx, c.cancel = context.WithCancel(ctx)
	logger := log.FromContext(ctx)
	c.running.Go(func() {
		if err := c.member.Cluster.Start(ctx); err != nil && ctx.Err() == nil {
			logger.Error(err, "Caches ended")
		}
	})
	c.running.Go(func() {
		backoff := newBackoff()
		for ctx.Err() == nil {
			err := c.engage(ctx, name, aware)
			if err == nil {
				return
			}
			logger.Error(err, "Engaging the cluster failed, trying again")
			pause(ctx, nil, backoff.Step())
		}
	})
}

// engage gives up after engageTimeout. What was engaged by then is disengaged, because its context ends.
func (c *connection) engage(ctx context.Context, name multicluster.ClusterName, aware multicluster.Aware) error {
	engagement, cancel := context.WithCancel(ctx)
	deadline := time.AfterFunc(engageTimeout, cancel)
	err := aware.Engage(engagement, name, c.engaged)
	if !deadline.Stop() && err == nil {
		err = context.DeadlineExceeded
	}
	if err != nil {
		cancel()
		return err
	}
	context.AfterFunc(ctx, cancel)
	return nil
}

// pause waits until the time is over, ctx ends or wake receives.
func pause(ctx context.Context, wake <-chan struct{}, d time.Duration) (woken bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-wake:
		return true
	}
	return false
}
