package gate

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

func TestConfigureDryRun(t *testing.T) {
	gates := Configure([]Gate{says("Real", fail("no"), nil), says("Tried", fail("no").measured(2, "<= 0"), nil)},
		[]meshv1alpha1.Gate{{Name: "Real"}, {Name: "Tried", DryRun: true}, {Name: "OfAnotherStage", DryRun: true}}, meshv1alpha1.StageInstall)
	got := Evaluate(t.Context(), gates, Member{}, nil, now)
	at := metav1.NewTime(now)
	want := []meshv1alpha1.GateResult{
		{Name: "Real", Verdict: meshv1alpha1.VerdictFail, Message: "no", Since: at},
		{Name: "Tried", Verdict: meshv1alpha1.VerdictFail, Message: "no", Value: "2", Threshold: "<= 0", DryRun: true, Since: at},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Evaluate (-want +got):\n%s", diff)
	}
}

// TestBuiltIns keeps the names that the API accepts.
func TestBuiltIns(t *testing.T) {
	got := map[string]bool{}
	for _, g := range append(Preflight(), Running()...) {
		got[g.Name()] = true
	}
	want := map[string]bool{
		"ControlPlaneReady": true, "PeersSynced": true, "EndpointsComplete": true, "ConfigAccepted": true, "ConfigValid": true,
		"Injection": true, "ConfigDiff": true, "ProxiesSynced": true, "GatewaysProgrammed": true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the names in the rule of spec.upgrade.gates are not those of the gates (-want +got):\n%s", diff)
	}
}
