// Package status turns the outcomes of phases into conditions. It is the only place that sets conditions.
package status

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/phase"
)

// maxMessage bounds a condition's message in bytes, far below the API's limit, so that status stays small.
const maxMessage = 1024

// Outcome is how the phase behind one condition ended.
type Outcome struct {
	// Type is the condition that the phase decides. Empty: it only counts for Ready.
	Type string
	// Result of the phase.
	Result phase.Result
	// Unknown says that the member could not be asked: the condition is Unknown, never False.
	Unknown bool
	// Aside says that Ready does not depend on it.
	Aside bool
}

// Set writes the conditions that follow from the outcomes: one for each outcome's type, Ready from the worst of them,
// and Reconciling or Stalled, which exist only when True.
func Set(conditions *[]metav1.Condition, generation int64, outcomes []Outcome, now time.Time) {
	w := writer{conditions, generation, now}
	for _, o := range outcomes {
		if o.Type == "" {
			continue
		}
		s := metav1.ConditionFalse
		switch {
		case o.Unknown:
			s = metav1.ConditionUnknown
		case o.Result.Kind == phase.Done:
			s = metav1.ConditionTrue
		}
		w.set(o.Type, s, o.Result.Reason, o.Result.Text())
	}
	worst := Worst(outcomes)
	if worst.Result.Kind == phase.Done {
		worst.Result = phase.Complete(meshv1alpha1.ReasonReady, "everything that the spec asks for holds")
	}
	w.sum(worst)
}

// writer writes conditions of one object. One whose status stays keeps its time.
type writer struct {
	conditions *[]metav1.Condition
	generation int64
	now        time.Time
}

func (w writer) set(kind string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(w.conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: mesh.Shorten(message, maxMessage), ObservedGeneration: w.generation,
		LastTransitionTime: metav1.NewTime(w.now.Truncate(time.Second)),
	})
}

// sum writes Ready, and Reconciling or Stalled, which exist only when True.
func (w writer) sum(o Outcome) {
	kind, reason, message := o.Result.Kind, o.Result.Reason, o.Result.Text()
	if kind != phase.Wait && kind != phase.Retry {
		meta.RemoveStatusCondition(w.conditions, meshv1alpha1.ConditionReconciling)
	}
	if kind != phase.Stalled {
		meta.RemoveStatusCondition(w.conditions, meshv1alpha1.ConditionStalled)
	}
	switch kind {
	case phase.Done:
		w.set(meshv1alpha1.ConditionReady, metav1.ConditionTrue, reason, message)
	case phase.Wait:
		w.set(meshv1alpha1.ConditionReady, metav1.ConditionUnknown, reason, message)
		w.set(meshv1alpha1.ConditionReconciling, metav1.ConditionTrue, reason, message)
	case phase.Retry:
		ready := metav1.ConditionFalse
		if o.Unknown {
			ready = metav1.ConditionUnknown
		}
		w.set(meshv1alpha1.ConditionReady, ready, reason, message)
		w.set(meshv1alpha1.ConditionReconciling, metav1.ConditionTrue, reason, message)
	case phase.Stalled:
		w.set(meshv1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
		w.set(meshv1alpha1.ConditionStalled, metav1.ConditionTrue, reason, message)
	}
}

// Worst is the outcome that Ready speaks of: the first of the worst kind.
func Worst(outcomes []Outcome) Outcome {
	outcomes = slices.DeleteFunc(slices.Clone(outcomes), func(o Outcome) bool { return o.Aside })
	if len(outcomes) == 0 {
		return Outcome{}
	}
	return slices.MaxFunc(outcomes, func(a, b Outcome) int { return int(a.Result.Kind) - int(b.Result.Kind) })
}

// Next is when to look again: the soonest of the outcomes' times, zero for never.
func Next(outcomes []Outcome) time.Duration {
	var next time.Duration
	for _, o := range outcomes {
		if a := o.Result.After; a > 0 && (next == 0 || a < next) {
			next = a
		}
	}
	return next
}
