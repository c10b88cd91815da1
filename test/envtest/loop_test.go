package envtest

import (
	"context"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// pace is the least time between two passes of a loop.
const pace = 50 * time.Millisecond

// loop calls act after every change of an object of the kinds given, never twice at once. The function that it returns
// calls act once more.
func loop(t *testing.T, c *cluster, kinds []client.Object, act func(context.Context) error) (again func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	kick := make(chan struct{}, 1)
	again = func() {
		select {
		case kick <- struct{}{}:
		default:
		}
	}
	informers, err := cache.New(c.config, cache.Options{Scheme: scheme, DefaultTransform: cache.TransformStripManagedFields()})
	must(t, err)
	for _, kind := range kinds {
		informer, err := informers.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
		must(t, err)
		_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { again() }, UpdateFunc: func(any, any) { again() }, DeleteFunc: func(any) { again() },
		})
		must(t, err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = informers.Start(ctx) })
	wg.Go(func() {
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
				return
			case <-kick:
			}
			if err := act(ctx); err != nil && ctx.Err() == nil {
				if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
					t.Logf("%s: played component, trying again: %v", c.name, err)
				}
				again()
			}
			timer := time.NewTimer(pace)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
			timer.Stop()
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return again
}
