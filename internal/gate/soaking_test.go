package gate

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// TestSoaking counts how often a gate is asked in a minute in which there is a pass every two seconds.
func TestSoaking(t *testing.T) {
	const pace, passes = 30 * time.Second, 30
	for name, c := range map[string]struct {
		stage   meshv1alpha1.Stage
		verdict meshv1alpha1.Verdict
		notes   bool
		want    int
	}{
		"it passes while workloads soak":   {meshv1alpha1.StageSoak, meshv1alpha1.VerdictPass, false, 2},
		"it does not pass":                 {meshv1alpha1.StageSoak, meshv1alpha1.VerdictInconclusive, false, passes},
		"it must look again":               {meshv1alpha1.StageSoak, meshv1alpha1.VerdictPass, true, passes},
		"it passes while workloads move":   {meshv1alpha1.StageWorkloads, meshv1alpha1.VerdictPass, false, passes},
		"it passes before there is any":    {meshv1alpha1.StageInstall, meshv1alpha1.VerdictPass, false, passes},
		"it is wrong while workloads soak": {meshv1alpha1.StageSoak, meshv1alpha1.VerdictFail, false, passes},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			g := Soaking(NewQuestion("EndpointsComplete", time.Second, func(_ context.Context, s *Subject) (Answer, error) {
				asked++
				if c.notes {
					Note(s, "EndpointsComplete", &asked)
				}
				return Answer{Verdict: c.verdict}, nil
			}), pace)
			looks, now := &Looks{}, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			// It passed when the workloads had moved.
			results := []meshv1alpha1.GateResult{{Name: g.Name(), Verdict: meshv1alpha1.VerdictPass, Since: metav1.NewTime(now)}}
			for range passes {
				results = Evaluate(t.Context(), []Gate{g}, Subject{Stage: c.stage, Looks: looks}, results, now)
				now = now.Add(2 * time.Second)
			}
			if asked != c.want {
				t.Errorf("asked %d times, want %d", asked, c.want)
			}
		})
	}
}
