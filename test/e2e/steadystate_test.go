//go:build e2e

package e2e

import (
	"slices"
	"testing"
	"time"

	"github.com/meshfleet/meshfleet/test/harness"
)

const (
	// settle lets go what an earlier subtest has set off.
	settle = 15 * time.Second
	// quietPeriod is how long the operator must not write.
	quietPeriod = 60 * time.Second
	// flushDelay lets the API servers write their audit logs to the end.
	flushDelay = 2 * time.Second
)

// steadyState reads the audit logs of all API servers: in a mesh that is as it should be the operator writes nothing,
// neither in the members nor on the hub, and does not even ask what a write would do. Leader election is an exception,
// because it consists of writing, and so are the markers by which peers see every few minutes that changes arrive.
func (s *suite) steadyState(t *testing.T) {
	s.step(t, "the mesh is ready", func() error { return s.waitReady(t.Context()) })
	time.Sleep(settle)
	from := time.Now()
	time.Sleep(quietPeriod)
	s.requireSilence(t, from, time.Now(), false)
}

// restartedOperator starts the operator anew: finding everything as it should be, it writes nothing either. It may ask
// API servers by dry run whether what it would write differs, because it has forgotten the answers.
func (s *suite) restartedOperator(t *testing.T) {
	ctx := t.Context()
	from := time.Now()
	s.step(t, "restart the operator", func() error { return s.env.RestartOperator(ctx) })
	// A report of the new process must be awaited, not one of the old; nothing marks it but time.
	time.Sleep(settle)
	s.step(t, "the mesh is ready", func() error { return s.waitReady(ctx) })
	s.requireSilence(t, from, time.Now(), true)
}

// requireSilence fails the test for every write call of the operator in a period, in any cluster.
func (s *suite) requireSilence(t *testing.T, from, to time.Time, mayAsk bool) {
	t.Helper()
	ctx := t.Context()
	time.Sleep(flushDelay)
	for _, cluster := range s.env.Clusters() {
		identity, err := s.env.Identity(ctx, cluster)
		if err != nil {
			t.Fatal(err)
		}
		writes, total, err := s.env.Writes(cluster, identity, from, to)
		if err != nil {
			t.Fatal(err)
		}
		writes = harness.WithoutReports(writes)
		if mayAsk {
			writes = slices.DeleteFunc(writes, harness.AuditEvent.IsDryRun)
		}
		s.env.Logf("  %s: %d write calls by %s in %s, %d by anybody", cluster, len(writes), identity,
			to.Sub(from).Round(time.Second), total)
		if total == 0 {
			t.Errorf("cluster %s: the audit log holds nothing for the period, so it proves nothing", cluster)
		}
		for _, w := range writes {
			t.Errorf("cluster %s: the operator wrote: %s", cluster, w)
		}
		// The log must know the identity, or silence would only mean that we listen for the wrong name.
		if ever, _, err := s.env.Writes(cluster, identity, time.Time{}, to); err != nil || len(ever) == 0 {
			t.Errorf("cluster %s: the audit log knows no write of %s at any time (error: %v)", cluster, identity, err)
		}
	}
}
