// Package phase is the vocabulary in which the steps of a reconciler report how far they came.
package phase

import (
	"errors"
	"time"
)

// Kind says how a phase ended.
type Kind int

const (
	// Done: what the phase is for holds.
	Done Kind = iota
	// Wait: nothing failed, but something is not there yet.
	Wait
	// Retry: a call failed; trying again may help.
	Retry
	// Stalled: only a change by a person helps.
	Stalled
)

// String is the kind in one word.
func (k Kind) String() string {
	return [...]string{Done: "done", Wait: "wait", Retry: "retry", Stalled: "stalled"}[k]
}

// Result is the outcome of a phase. It keeps the error itself, so that callers can ask what it is.
type Result struct {
	// Kind of the outcome.
	Kind Kind
	// Reason is a condition reason of the API.
	Reason string
	// Message says what is awaited or wrong, for people. Empty: the text of Err.
	Message string
	// After is when to look again if no watch fires earlier. Zero: only a watch.
	After time.Duration
	// Err is the failure of Retry and Stalled.
	Err error
	// Passable is true when what comes next makes sense although this is not done.
	Passable bool
	// Step counts how far something is that takes several steps. Zero: it takes one.
	Step int32
}

// Complete says that the phase is done.
func Complete(reason, message string) Result {
	return Result{Kind: Done, Reason: reason, Message: message}
}

// Waiting says that something is not there yet.
func Waiting(reason, message string, after time.Duration) Result {
	return Result{Kind: Wait, Reason: reason, Message: message, After: after}
}

// Retrying says that a call failed.
func Retrying(reason string, err error) Result {
	return Result{Kind: Retry, Reason: reason, Err: err}
}

// Stall says that only a change by a person helps.
func Stall(reason string, err error) Result {
	return Result{Kind: Stalled, Reason: reason, Err: err}
}

// Overdue turns a Wait into a Retry with the reason given when it has lasted longer than limit since the moment at
// which what is awaited was asked for. A wait that nothing observable dates passes a zero since and has no limit.
func (r Result) Overdue(since, now time.Time, limit time.Duration, reason string) Result {
	if r.Kind != Wait || since.IsZero() || now.Sub(since) < limit {
		return r
	}
	return Result{
		Kind: Retry, Reason: reason, After: r.After,
		Err: errors.New("after " + limit.String() + " still waiting: " + r.Message),
	}
}

// Text is the message for people.
func (r Result) Text() string {
	if r.Message != "" || r.Err == nil {
		return r.Message
	}
	return r.Err.Error()
}
