package gate

import (
	"maps"
	"sync"
	"time"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// recallFor is how long a look is remembered. What was seen longer ago is no earlier look at the same state.
const recallFor = time.Minute

// Looks keeps what the gates of a member saw when they looked last, for as long as a stage lasts: some gates count only
// what several looks show, each in a pass of its own. What a gate keeps lasts for the upgrade. An operator that restarts looks
// anew. The zero value is ready for use.
type Looks struct {
	mu   sync.Mutex
	last map[string]look
	kept map[string]any
}

// NextStage are the looks of the next stage of the same upgrade: they have what is kept.
func (l *Looks) NextStage() *Looks {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &Looks{kept: maps.Clone(l.kept)}
}

type look struct {
	at   time.Time
	seen any
}

// Recall returns what a gate has noted at its last look, or nil.
func Recall[T any](s *Subject, name string) *T {
	s.Looks.mu.Lock()
	defer s.Looks.mu.Unlock()
	l := s.Looks.last[name]
	if seen, ok := l.seen.(*T); ok && s.Now.Sub(l.at) <= recallFor {
		return seen
	}
	return nil
}

// Note keeps what a gate has seen for its next look. Nil: that one is a first look again.
func Note[T any](s *Subject, name string, seen *T) {
	s.Looks.mu.Lock()
	defer s.Looks.mu.Unlock()
	if s.Looks.last == nil {
		s.Looks.last = map[string]look{}
	}
	if seen == nil {
		delete(s.Looks.last, name)
		return
	}
	s.Looks.last[name] = look{at: s.Now, seen: seen}
}

// isNoted says whether a gate has noted something for its next look.
func (l *Looks) isNoted(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, isNoted := l.last[name]
	return isNoted
}

// Kept returns what a gate has kept in the course of the upgrade, or nil.
func Kept[T any](s *Subject, name string) *T {
	s.Looks.mu.Lock()
	defer s.Looks.mu.Unlock()
	kept, _ := s.Looks.kept[name].(*T)
	return kept
}

// Keep keeps what a gate has found for the rest of the upgrade.
func Keep[T any](s *Subject, name string, found *T) {
	s.Looks.mu.Lock()
	defer s.Looks.mu.Unlock()
	if s.Looks.kept == nil {
		s.Looks.kept = map[string]any{}
	}
	s.Looks.kept[name] = found
}

// Unconfirmed answers for what only one look has shown so far. While workloads soak, a gate that has passed stands: of many
// members, at each moment some see a change under way.
func (s *Subject) Unconfirmed(name, format string, args ...any) Answer {
	if last := s.last(name); s.Stage == meshv1alpha1.StageSoak && last != nil && last.Verdict == meshv1alpha1.VerdictPass {
		return Repeat(last)
	}
	return Pending(format, args...)
}
