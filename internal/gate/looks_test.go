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

func TestLooksOfTheNextStage(t *testing.T) {
	s := &Subject{Looks: &Looks{}, Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	if got := Kept[int](s, "A"); got != nil {
		t.Errorf("a gate that has kept nothing has %d", *got)
	}
	seen, found := 1, 2
	Note(s, "A", &seen)
	Keep(s, "A", &found)
	s.Looks, s.Now = s.Looks.NextStage(), s.Now.Add(time.Hour)
	if got := Recall[int](s, "A"); got != nil {
		t.Errorf("recalled %d in the next stage", *got)
	}
	if got := Kept[int](s, "A"); got == nil || *got != found {
		t.Errorf("kept %v in the next stage, want %d", got, found)
	}
}
