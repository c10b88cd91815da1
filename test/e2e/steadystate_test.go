//go:build e2e

package e2e

import (
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
// neither in the members nor on the hub. Leader election is the exception, because it consists of writing.
func (s *suite) steadyState(t *testing.T) {
	ctx := t.Context()
	s.step(t, "the mesh is ready", func() error { return s.waitReady(ctx) })
	identities := map[string]string{}
	hub, err := s.env.OperatorIdentity(ctx)
	if err != nil {
		t.Fatal(err)
	}
	identities[harness.HubName] = hub
	for _, m := range s.env.Members() {
		if identities[m], err = s.env.MemberIdentity(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(settle)
	from := time.Now()
	time.Sleep(quietPeriod)
	to := time.Now()
	time.Sleep(flushDelay)

	for cluster, identity := range identities {
		writes, total, err := s.env.Writes(cluster, identity, from, to)
		if err != nil {
			t.Fatal(err)
		}
		s.env.Logf("  %s: %d write calls by %s in %s, %d by anybody", cluster, len(writes), identity, quietPeriod, total)
		if total == 0 {
			t.Errorf("cluster %s: the audit log holds nothing for %s, so it proves nothing", cluster, quietPeriod)
		}
		for _, w := range writes {
			t.Errorf("cluster %s: the operator wrote in steady state: %s", cluster, w)
		}
		// The log must know the identity, or silence would only mean that we listen for the wrong name.
		if ever, _, err := s.env.Writes(cluster, identity, time.Time{}, to); err != nil || len(ever) == 0 {
			t.Errorf("cluster %s: the audit log knows no write of %s at any time (error: %v)", cluster, identity, err)
		}
	}
}
