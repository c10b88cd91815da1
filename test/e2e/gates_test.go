//go:build e2e && upgrades

package e2e

import (
	"net/http"
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

// ownGates lets a real Prometheus and a server of the suite decide: they let one change of values pass and send others
// back.
func (s *suite) ownGates(t *testing.T) {
	var address string
	s.step(t, "run Prometheus in east", func() (err error) {
		address, err = s.env.RunPrometheus(t.Context(), "east")
		return err
	})
	t.Cleanup(func() {
		s.edit(t, func(m *meshv1alpha1.MeshInstallation) { m.Spec.Upgrade.Gates = nil })
	})
	t.Run("pass", func(t *testing.T) { s.gatePasses(t, address) })
	t.Run("compare revisions", func(t *testing.T) { s.gateCompares(t, address) })
	t.Run("Prometheus says no", func(t *testing.T) { s.gateRefuses(t, address) })
	t.Run("webhook says no", s.webhookRefuses)
}

// measuring is a gate of one's own. Both bounds are set: a rate outside of them is a no.
func measuring(name, address string, lowest, highest meshv1alpha1.Number) meshv1alpha1.Gate {
	return meshv1alpha1.Gate{Name: name, Prometheus: &meshv1alpha1.PrometheusGate{
		GateServer: meshv1alpha1.GateServer{URL: address}, Query: errorRate, Min: lowest, Max: highest,
		Count: 2, Interval: &metav1.Duration{Duration: 10 * time.Second},
	}}
}

// measureDeadline bounds the stages of members whose gates measure: that takes time.
const measureDeadline = 4 * time.Minute

// gatePasses changes what proxies count, which is what one gate then measures, and wants it to have measured. The other one is
// a server that first cannot be had, then asks for time, and then agrees.
func (s *suite) gatePasses(t *testing.T, address string) {
	s.patience(t, measureDeadline)
	server := newGateServer(t)
	server.say(http.StatusServiceUnavailable, "")
	server.say(http.StatusOK, `{"verdict": "Pending", "message": "warming up"}`)
	server.say(http.StatusOK, `{"verdict": "Pass", "message": "p99 is 81 ms", "value": 81}`)
	seen := map[string]meshv1alpha1.GateResult{}
	u := s.upgradeUnderLoad(t, s.env.Members(), meshv1alpha1.UpgradeSucceeded, func(m *meshv1alpha1.MeshInstallation) error {
		m.Spec.Upgrade.Gates = []meshv1alpha1.Gate{measuring("error-rate", address, "0", "0.01"), server.gate("load-test")}
		return harness.SetValue(m, []any{`cluster\.inbound.*upstream_rq.*`}, "meshConfig", "defaultConfig", "proxyStatsMatcher", "inclusionRegexps")
	}, func(*meshv1alpha1.MeshUpgrade) error { return s.noteGates(t, seen) })
	s.requireUpgraded(t, u)
	for _, name := range []string{"error-rate", "load-test"} {
		g := seen[name]
		s.env.Logf("  gate %s: %s, value %s, threshold %s: %s", name, g.Verdict, g.Value, g.Threshold, g.Message)
		if g.Verdict != meshv1alpha1.VerdictPass || g.Value == "" {
			t.Errorf("the gate %s was last seen as %+v, want a pass with a value", name, g)
		}
	}
	if m := seen["error-rate"].Measurements; m == nil || m.Taken < 2 {
		t.Errorf("measurements of error-rate: %+v, want 2", m)
	}
	for _, stage := range []meshv1alpha1.Stage{meshv1alpha1.StageInstall, meshv1alpha1.StageWorkloads, meshv1alpha1.StageSoak} {
		for _, member := range s.env.Members() {
			want := question{
				Gate: "load-test", Installation: harness.MeshName, Upgrade: u.Name, Member: member, Stage: string(stage),
				From: u.Spec.From.Revision, To: u.Spec.To.Revision,
			}
			if !server.wasAsked(want) {
				t.Errorf("the server was not asked %+v", want)
			}
		}
	}
}

// noteGates keeps what the gates of one's own said last in east.
func (s *suite) noteGates(t *testing.T, seen map[string]meshv1alpha1.GateResult) error {
	member, err := s.env.MeshMember(t.Context(), "east")
	if err != nil || member.Status.Rollout == nil {
		return err
	}
	for _, g := range member.Status.Rollout.Gates {
		if g.Measurements != nil || g.AskedAt != nil {
			seen[g.Name] = g
		}
	}
	return nil
}

// memory is how much the proxies of a revision use.
const memory = `avg(envoy_server_memory_allocated{pod=~"$(pods)"})`

// gateCompares holds what new proxies of the first wave use against what old ones do, while both serve. Only that wave's
// member is scraped, so that the upgrade is aborted before the second one.
func (s *suite) gateCompares(t *testing.T, address string) {
	s.patience(t, measureDeadline)
	s.keepSpec(t)
	seen := map[string]meshv1alpha1.GateResult{}
	isAborted := false
	u := s.upgradeUnderLoad(t, s.env.Members(), meshv1alpha1.UpgradeRolledBack, func(m *meshv1alpha1.MeshInstallation) error {
		g := measuring("memory", address, "", "2")
		g.Prometheus.Query, g.Prometheus.Compare = memory, meshv1alpha1.ComparisonRatio
		m.Spec.Upgrade.Gates = []meshv1alpha1.Gate{g}
		m.Spec.Upgrade.Waves[1].Approval = meshv1alpha1.ApprovalRequired
		return value("9s", "env", "PILOT_DEBOUNCE_MAX")(m)
	}, func(u *meshv1alpha1.MeshUpgrade) error {
		if u.Status.Phase == meshv1alpha1.UpgradeWaitingForApproval && !isAborted {
			isAborted = true
			return s.env.EditMesh(t.Context(), func(m *meshv1alpha1.MeshInstallation) { m.Spec.Upgrade.State = meshv1alpha1.UpgradeStateAbort })
		}
		return s.noteGates(t, seen)
	})
	if u.Status.Cause != meshv1alpha1.CauseAborted {
		t.Errorf("the upgrade went back because it was %s, want %s", u.Status.Cause, meshv1alpha1.CauseAborted)
	}
	g := seen["memory"]
	s.env.Logf("  gate memory: %s, value %s, threshold %s: %s", g.Verdict, g.Value, g.Threshold, g.Message)
	if g.Verdict != meshv1alpha1.VerdictPass || g.Value == "" || g.Measurements == nil || g.Measurements.Taken < 2 {
		t.Errorf("the gate memory was last seen as %+v, want a pass of 2 measurements", g)
	}
}

// gateRefuses wants at least every second request to fail, which they do not.
func (s *suite) gateRefuses(t *testing.T, address string) {
	s.patience(t, measureDeadline)
	s.refusedBy(t, measuring("every-second-fails", address, "0.5", "1"), "150ms")
}

// webhookRefuses lets a server refuse the new revision before it gets traffic.
func (s *suite) webhookRefuses(t *testing.T) {
	server := newGateServer(t)
	server.say(http.StatusOK, `{"verdict": "Fail", "message": "p99 is 900 ms"}`)
	s.refusedBy(t, server.gate("too-slow"), "160ms")
}

// refusedBy wants one gate of one's own to send a change of a value back. Each needs another one: what was refused before is
// not tried again.
func (s *suite) refusedBy(t *testing.T, g meshv1alpha1.Gate, debounce string) {
	t.Helper()
	s.goesBack(t, "gate "+g.Name, func(m *meshv1alpha1.MeshInstallation) error {
		m.Spec.Upgrade.Gates = []meshv1alpha1.Gate{g}
		return value(debounce, "env", "PILOT_DEBOUNCE_AFTER")(m)
	}, nil)
}
