//go:build linux

package cluster

import (
	"errors"
	"sync"
	"testing"
)

func TestTogether(t *testing.T) {
	// Each waits for the other, so that one after the other would never end.
	var meet sync.WaitGroup
	meet.Add(2)
	errs := map[string]error{"a": errors.New("a failed"), "b": nil, "c": errors.New("c failed")}
	err := together([]string{"a", "b", "c"}, func(name string) error {
		if name != "c" {
			meet.Done()
			meet.Wait()
		}
		return errs[name]
	})
	if err == nil || err.Error() != "a failed\nc failed" {
		t.Errorf("error is %v, want those of a and c in that order", err)
	}
	if err := together(nil, func(string) error { return errors.New("called for nothing") }); err != nil {
		t.Error(err)
	}
}
