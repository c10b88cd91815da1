package gate

import (
	"os"
	"strings"
	"testing"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/configdiff"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// The API accepts the classes that there are, in their order.
func TestConfigDiffClassesAreTheAPIs(t *testing.T) {
	source, err := os.ReadFile(testutil.InRepository("api", "v1alpha1", "gate_types.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, class := range configdiff.Classes() {
		names = append(names, string(class))
	}
	marker := "// +kubebuilder:validation:Enum=" + strings.Join(names, ";") + "\ntype ConfigDiffClass string"
	if !strings.Contains(string(source), marker) {
		t.Errorf("the type ConfigDiffClass has no marker %q", marker)
	}
}

// A peer that cannot be reached takes endpoints away, and with them the names that are checked. What has nothing to do with it
// fails all the same.
func TestConfigDiffWhilePeersAreDown(t *testing.T) {
	lost, weaker := configdiff.Finding{Class: configdiff.EndpointsLost}, configdiff.Finding{Class: configdiff.TLSWeakened}
	for name, test := range map[string]struct {
		found []configdiff.Finding
		down  []string
		want  meshv1alpha1.Verdict
	}{
		"endpoints are lost":                            {[]configdiff.Finding{lost}, nil, meshv1alpha1.VerdictFail},
		"endpoints are lost while a peer is down":       {[]configdiff.Finding{lost}, []string{"west"}, meshv1alpha1.VerdictInconclusive},
		"names are lost with them while a peer is down": {[]configdiff.Finding{lost, weaker}, []string{"west"}, meshv1alpha1.VerdictInconclusive},
		"names alone are lost while a peer is down":     {[]configdiff.Finding{weaker}, []string{"west"}, meshv1alpha1.VerdictFail},
	} {
		t.Run(name, func(t *testing.T) {
			report := &configdiff.Report{}
			report.Add("echo.demo", test.found)
			gate := configDiff{classes: configdiff.Classes()}
			checkAnswer(t, gate.judge(report, 1, 1, false, test.down), test.want, "1 of 1 kind of proxies compared")
		})
	}
}
