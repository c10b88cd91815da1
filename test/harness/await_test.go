package harness

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestAwaitSaysWhatWasAwaitedAndSeen(t *testing.T) {
	err := Await(t.Context(), "the moon", 10*time.Millisecond, func(context.Context) (bool, string, error) {
		return false, "clouds", nil
	})
	if err == nil || !strings.Contains(err.Error(), "the moon") || !strings.Contains(err.Error(), "clouds") {
		t.Errorf("want an error that names the moon and the clouds, got: %v", err)
	}
}

func TestAwaitKeepsTheLastSightWhenTheDeadlineCutsAProbe(t *testing.T) {
	first := true
	err := Await(t.Context(), "the moon", 400*time.Millisecond, func(ctx context.Context) (bool, string, error) {
		if first {
			first = false
			return false, "clouds", nil
		}
		<-ctx.Done()
		return false, "", ctx.Err()
	})
	if err == nil || !strings.Contains(err.Error(), "clouds") {
		t.Errorf("want an error that names the clouds, got: %v", err)
	}
}

func TestAwaitEndsAtAFatalError(t *testing.T) {
	eclipse := errors.New("eclipse")
	start := time.Now()
	err := Await(t.Context(), "the moon", time.Minute, func(context.Context) (bool, string, error) {
		return false, "", Fatal(eclipse)
	})
	if !errors.Is(err, eclipse) || time.Since(start) > 10*time.Second {
		t.Errorf("want the fatal error at once, got %v after %s", err, time.Since(start))
	}
}
