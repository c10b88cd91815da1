//go:build linux

package cluster

import (
	"errors"
	"sync"
)

// together does something with every item at the same time, and joins the errors in the order of the items.
func together[T any](items []T, do func(T) error) error {
	errs := make([]error, len(items))
	var wait sync.WaitGroup
	for i, item := range items {
		wait.Go(func() { errs[i] = do(item) })
	}
	wait.Wait()
	return errors.Join(errs...)
}
