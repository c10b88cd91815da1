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

func TestAwaitProgressWaitsAsLongAsSomethingMoves(t *testing.T) {
	const deadline = 600 * time.Millisecond
	start, steps := time.Now(), 0
	err := AwaitProgress(t.Context(), "the moon", deadline, func(_ context.Context, progressed func()) (bool, string, error) {
		if steps++; steps <= 4 {
			progressed()
		}
		return false, "clouds", nil
	})
	if took := time.Since(start); err == nil || took < 4*pollInterval || took > 20*deadline {
		t.Errorf("want a wait of four steps and the deadline after them, got %s: %v", took, err)
	}
}
