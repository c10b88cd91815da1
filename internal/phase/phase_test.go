package phase

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestOverdue(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	waiting := Waiting("WaitingForIstiod", "0 of 1 replicas available", time.Second)
	broken := errors.New("broken")
	cases := map[string]struct {
		result Result
		since  time.Time
		want   Result
	}{
		"in time it waits":                         {waiting, now.Add(-time.Minute + 1), waiting},
		"past the limit it fails, and looks again": {waiting, now.Add(-time.Minute), Result{Kind: Retry, Reason: "DeadlineExceeded", After: time.Second}},
		"a wait that nothing dates has no limit":   {waiting, time.Time{}, waiting},
		"what is done stays done":                  {Complete("Ready", ""), now.Add(-time.Hour), Complete("Ready", "")},
		"a failure keeps its reason":               {Retrying("Retrying", broken), now.Add(-time.Hour), Retrying("Retrying", broken)},
		"what is stalled stays so":                 {Stall("InvalidValues", broken), now.Add(-time.Hour), Stall("InvalidValues", broken)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := c.result.Overdue(c.since, now, time.Minute, "DeadlineExceeded")
			if diff := cmp.Diff(c.want, got, cmpopts.IgnoreFields(Result{}, "Err")); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if (got.Err != nil) != (got.Kind == Retry || got.Kind == Stalled) {
				t.Errorf("kind %v has error %v", got.Kind, got.Err)
			}
		})
	}
}

func TestOverdueTextDoesNotChangeWithTime(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	waiting := Waiting("WaitingForIstiod", "0 of 1 replicas available", 0)
	early := waiting.Overdue(start, start.Add(time.Minute), time.Minute, "DeadlineExceeded").Text()
	late := waiting.Overdue(start, start.Add(time.Hour), time.Minute, "DeadlineExceeded").Text()
	if diff := cmp.Diff(early, late); diff != "" {
		t.Errorf("a text that changes would be written again and again (-early +late):\n%s", diff)
	}
}

func TestText(t *testing.T) {
	cases := map[string]struct {
		result Result
		want   string
	}{
		"nothing":                           {Result{}, ""},
		"the message":                       {Complete("Ready", "istiod serves"), "istiod serves"},
		"the error without message":         {Retrying("Retrying", errors.New("refused")), "refused"},
		"the message rather than the error": {Result{Kind: Retry, Message: "told", Err: errors.New("refused")}, "told"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := c.result.Text(); got != c.want {
				t.Errorf("text is %q, want %q", got, c.want)
			}
		})
	}
}
