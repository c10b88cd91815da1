package gate

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

func TestWithDryRun(t *testing.T) {
	gates := WithDryRun([]Gate{says("Real", Fail("no"), nil), says("Tried", Fail("no").Measured(2, "<= 0"), nil)},
		[]meshv1alpha1.Gate{{Name: "Real"}, {Name: "Tried", DryRun: true}, {Name: "OfAnotherStage", DryRun: true}})
	got := Evaluate(t.Context(), gates, Subject{}, nil, now)
	at := metav1.NewTime(now)
	want := []meshv1alpha1.GateResult{
		{Name: "Real", Verdict: meshv1alpha1.VerdictFail, Message: "no", Since: at},
		{Name: "Tried", Verdict: meshv1alpha1.VerdictFail, Message: "no", Value: "2", Threshold: "<= 0", DryRun: true, Since: at},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Evaluate (-want +got):\n%s", diff)
	}
}
