package rollout

import (
	"strings"
	"testing"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// TestEveryFailedGateIsNamed wants each failed gate in the reason, however much the first one has to report.
func TestEveryFailedGateIsNamed(t *testing.T) {
	p := &progress{name: "east", report: &meshv1alpha1.MemberRolloutStatus{}}
	names := []string{"ConfigDiff", "EndpointsComplete", "PeersSynced", "my.checkout-errors"}
	for _, name := range names {
		p.report.Gates = append(p.report.Gates, meshv1alpha1.GateResult{
			Name: name, Verdict: meshv1alpha1.VerdictFail, Message: strings.Repeat("cluster outbound|8080||echo, ", 30),
		})
	}
	got := p.says(meshv1alpha1.VerdictFail)
	for _, name := range names {
		if !strings.Contains(got, "gate "+name+" (cluster outbound") {
			t.Errorf("%s and its message are missing in %q", name, got)
		}
	}
	if most := saysBytes + len(": "); len(got) > most {
		t.Errorf("%d bytes, want %d at most", len(got), most)
	}
}
