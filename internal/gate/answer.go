package gate

import (
	"fmt"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// Answer is the result of asking a gate.
type Answer struct {
	Name    string
	Verdict meshv1alpha1.Verdict
	Message string
	// Value was measured and compared with Threshold. Both are empty where a gate does not measure.
	Value, Threshold string
	// AskedAt and Measurements are the memory of a gate that is asked at its own pace.
	AskedAt      *metav1.Time
	Measurements *meshv1alpha1.GateMeasurements
	// DryRun means that nothing follows from the verdict.
	DryRun bool
}

// Pass is the answer that the member may go on.
func Pass(format string, args ...any) Answer {
	return Answer{Verdict: meshv1alpha1.VerdictPass, Message: fmt.Sprintf(format, args...)}
}

// Fail is the answer that the member must not go on.
func Fail(format string, args ...any) Answer {
	return Answer{Verdict: meshv1alpha1.VerdictFail, Message: fmt.Sprintf(format, args...)}
}

// Pending is the answer that the verdict takes time.
func Pending(format string, args ...any) Answer {
	return Answer{Verdict: meshv1alpha1.VerdictPending, Message: fmt.Sprintf(format, args...)}
}

// Inconclusive is the answer that there is too little data for a verdict.
func Inconclusive(format string, args ...any) Answer {
	return Answer{Verdict: meshv1alpha1.VerdictInconclusive, Message: fmt.Sprintf(format, args...)}
}

// NoIstiod is the answer of a gate that finds no istiod to ask.
func NoIstiod(revision string) Answer {
	return Inconclusive("no istiod pod of revision %s is ready", revision)
}

// NoneAllowed is the threshold of a number that must be zero.
const NoneAllowed = "<= 0"

// IsPass reports whether the verdict is Pass.
func (a Answer) IsPass() bool { return a.Verdict == meshv1alpha1.VerdictPass }

// Measured adds to an answer what was measured, and the threshold that it was compared with.
func (a Answer) Measured(value float64, threshold string) Answer {
	a.Value, a.Threshold = Number(value), threshold
	return a
}

// Number writes a measured number.
func Number(value float64) string { return strconv.FormatFloat(value, 'g', 6, 64) }

// Repeat is the answer of a former result.
func Repeat(r *meshv1alpha1.GateResult) Answer {
	return Answer{
		Name: r.Name, Verdict: r.Verdict, Message: r.Message, Value: r.Value, Threshold: r.Threshold,
		AskedAt: r.AskedAt, Measurements: r.Measurements,
	}
}
