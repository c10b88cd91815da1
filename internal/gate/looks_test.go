package gate

import (
	"testing"
	"time"
)

func TestLooks(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := &Subject{Looks: &Looks{}, Now: start}
	if got := Recall[int](s, "A"); got != nil {
		t.Errorf("a gate that has noted nothing recalls %d", *got)
	}
	seen := 1
	Note(s, "A", &seen)
	for name, test := range map[string]struct {
		gate  string
		after time.Duration
		want  bool
	}{
		"soon":                    {"A", 2 * time.Second, true},
		"at the last moment":      {"A", recallFor, true},
		"too late":                {"A", recallFor + time.Second, false},
		"what another gate noted": {"B", 0, false},
	} {
		later := &Subject{Looks: s.Looks, Now: start.Add(test.after)}
		if got := Recall[int](later, test.gate); (got != nil) != test.want {
			t.Errorf("%s: recalled %v, want %v", name, got != nil, test.want)
		}
	}
	if got := Recall[string](s, "A"); got != nil {
		t.Error("recalled as another type")
	}
	Note[int](s, "A", nil)
	if got := Recall[int](s, "A"); got != nil {
		t.Errorf("recalled %d, which was forgotten", *got)
	}
}
