package schedule

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/gate"
)

// TestWhichGatesAreAskedWhen has every list in its order, with a webhook, a measurement and a comparison of the user's.
func TestWhichGatesAreAskedWhen(t *testing.T) {
	specs := []meshv1alpha1.Gate{
		{Name: "hook", Webhook: &meshv1alpha1.WebhookGate{}},
		{Name: "slo", Prometheus: &meshv1alpha1.PrometheusGate{}},
		{Name: "ratio", Prometheus: &meshv1alpha1.PrometheusGate{Compare: meshv1alpha1.ComparisonRatio}},
		{Name: "ConfigDiff", ConfigDiff: &meshv1alpha1.ConfigDiffGate{}},
	}
	withTraffic := []string{"ControlPlaneReady", "ConfigAccepted", "ProxiesSynced", "EndpointsComplete", "GatewaysProgrammed"}
	for name, test := range map[string]struct {
		gates []gate.Gate
		want  []string
	}{
		"before traffic": {BeforeTraffic(specs), []string{
			"ControlPlaneReady", "PeersSynced", "EndpointsComplete", "ConfigAccepted", "ConfigValid", "Injection", "ConfigDiff", "hook"}},
		"with traffic":               {WithTraffic(specs), append(append([]string{}, withTraffic...), "hook", "slo", "ratio")},
		"during a gateway's move":    {DuringGatewayMove(specs), []string{"ControlPlaneReady", "ConfigAccepted", "ProxiesSynced"}},
		"before the first batch":     {BetweenBatches(specs, false), withTraffic},
		"while both revisions serve": {BetweenBatches(specs, true), append(append([]string{}, withTraffic...), "ratio")},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, g := range test.gates {
				got = append(got, g.Name())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("gates (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDryRunsAreMarked(t *testing.T) {
	const name = "ConfigAccepted"
	specs := []meshv1alpha1.Gate{{Name: name, DryRun: true}}
	for list, gates := range map[string][]gate.Gate{
		"before traffic": BeforeTraffic(specs), "with traffic": WithTraffic(specs),
		"during a gateway's move": DuringGatewayMove(specs), "between batches": BetweenBatches(specs, false),
	} {
		i := slices.IndexFunc(gates, func(g gate.Gate) bool { return g.Name() == name })
		if i < 0 || !gates[i].Ask(t.Context(), gate.Subject{Client: fake.NewClientBuilder().Build()}).DryRun {
			t.Errorf("%s: %s is not asked as a dry run", list, name)
		}
	}
}
