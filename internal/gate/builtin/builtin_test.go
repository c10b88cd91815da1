package builtin

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate/gatetest"
)

// now is the time of the tests.
var now = gatetest.Now

// TestBuiltIns keeps the names that the API accepts.
func TestBuiltIns(t *testing.T) {
	got := map[string]bool{}
	for _, g := range append(BeforeTraffic(nil), WithTraffic()...) {
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

func TestNoGatePassesWithoutIstiod(t *testing.T) {
	for _, g := range append(BeforeTraffic(nil), WithTraffic()...) {
		m := *gatetest.Subject()
		m.Client = fake.NewClientBuilder().Build()
		if got := g.Ask(t.Context(), m); got.Verdict != meshv1alpha1.VerdictInconclusive || got.Message == "" {
			t.Errorf("%s: %s %q, want %s", got.Name, got.Verdict, got.Message, meshv1alpha1.VerdictInconclusive)
		}
	}
}
