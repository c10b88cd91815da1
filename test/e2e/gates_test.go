//go:build e2e && upgrades

package e2e

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
)

// errorRate is the part of the requests to proxies of the new revision that were answered with 5xx. Only east is scraped,
// so that every member asks for the same: it is a query of the whole fleet.
const errorRate = `(sum(rate(envoy_cluster_upstream_rq{cluster="east",revision="$(to)",cluster_name=~"inbound.*",response_code=~"5.."}[10s])) or vector(0))
 / sum(rate(envoy_cluster_upstream_rq{cluster="east",revision="$(to)",cluster_name=~"inbound.*",response_code!=""}[10s]))`

// ownGates lets a real Prometheus decide: it lets one change of values pass and sends another one back.
func (s *suite) ownGates(t *testing.T) {
	var address string
	s.step(t, "run Prometheus in east", func() (err error) {
		address, err = s.env.RunPrometheus(t.Context(), "east")
		return err
	})
	t.Run("passes", func(t *testing.T) { s.gatePasses(t, address) })
	t.Run("says no", func(t *testing.T) { s.gateRefuses(t, address) })
}

// measuring sets the only gate of one's own. Both bounds are set: a rate outside of them is a no. Measuring takes time, which
// counts against the deadline of the workloads' stage.
func measuring(m *meshv1alpha1.MeshInstallation, name, address string, lowest, highest meshv1alpha1.Number) {
	m.Spec.Upgrade.Gates = []meshv1alpha1.Gate{{Name: name, Prometheus: &meshv1alpha1.PrometheusGate{
		GateServer: meshv1alpha1.GateServer{URL: address}, Query: errorRate, Min: lowest, Max: highest,
		Count: 2, Interval: &metav1.Duration{Duration: 10 * time.Second},
	}}}
	for i := range m.Spec.Upgrade.Waves {
		m.Spec.Upgrade.Waves[i].ProgressDeadline = &metav1.Duration{Duration: 4 * time.Minute}
	}
}

// gatePasses changes what proxies count, which is what the gate then measures, and wants it to have measured.
func (s *suite) gatePasses(t *testing.T, address string) {
	var seen meshv1alpha1.GateResult
	u := s.upgradeUnderLoad(t, s.env.Members(), meshv1alpha1.UpgradeSucceeded, func(m *meshv1alpha1.MeshInstallation) error {
		measuring(m, "error-rate", address, "0", "0.01")
		return harness.SetValue(m, []any{`cluster\.inbound.*upstream_rq.*`}, "meshConfig", "defaultConfig", "proxyStatsMatcher", "inclusionRegexps")
	}, func(*meshv1alpha1.MeshUpgrade) error {
		member, err := s.env.MeshMember(t.Context(), "east")
		if err != nil || member.Status.Rollout == nil {
			return err
		}
		for _, g := range member.Status.Rollout.Gates {
			if g.Name == "error-rate" {
				seen = g
			}
		}
		return nil
	})
	s.requireUpgraded(t, u)
	s.env.Logf("  gate %s: %s, value %s, threshold %s", seen.Name, seen.Verdict, seen.Value, seen.Threshold)
	if seen.Verdict != meshv1alpha1.VerdictPass || seen.Measurements == nil || seen.Measurements.Taken < 2 || seen.Value == "" {
		t.Errorf("the gate was last seen as %+v, want a pass of 2 measurements", seen)
	}
}

// gateRefuses wants at least every second request to fail, which they do not.
func (s *suite) gateRefuses(t *testing.T, address string) {
	change := value("150ms", "env", "PILOT_DEBOUNCE_AFTER")
	undo := value("", "env", "PILOT_DEBOUNCE_AFTER")
	s.goesBack(t, "gate every-second-fails", func(m *meshv1alpha1.MeshInstallation) error {
		measuring(m, "every-second-fails", address, "0.5", "1")
		return change(m)
	}, func(m *meshv1alpha1.MeshInstallation) error {
		m.Spec.Upgrade.Gates = nil
		return undo(m)
	}, nil)
}
