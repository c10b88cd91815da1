package crd

import (
	"strings"
	"testing"
)

const upgradeBase = `
apiVersion: mesh.meshfleet.io/v1alpha1
kind: MeshUpgrade
metadata: {name: shop-1, namespace: meshfleet-system, annotations: {mesh.meshfleet.io/action: Pause}}
spec:
  installation: shop
  from: {revision: 1-28-3, version: 1.28.3, hash: a}
  to: {revision: 1-29-1, version: 1.29.1, hash: b, sharedHash: c}
  onFailure: Rollback
  waves: [{name: all, members: [east], maxConcurrent: 1, soak: 0s, progressDeadline: 30m, maxFailures: 0, approval: Required}]
`

// TestRecordsOfUpgrades wants what the operator writes to be accepted, and no more of it than is kept.
func TestRecordsOfUpgrades(t *testing.T) {
	const one = `{at: "2026-01-01T00:00:00Z", action: Pause, by: annotation}`
	many := func(n int) string { return `status: {interventions: [` + strings.Repeat(one+",", n-1) + one + `]}` }
	cases := map[string]struct {
		patch string
		// wantField is empty for what is accepted.
		wantField string
	}{
		"nothing happened yet": {`{}`, ""},
		"every action": {`
status:
  waves: [{name: all, total: 1, moved: 0, finished: 0, failed: 0, approvedAt: "2026-01-01T00:00:00Z"}]
  interventions:
  - {at: "2026-01-01T00:00:00Z", action: Retry, by: spec.upgrade.attempt}
  - {at: "2026-01-01T00:00:00Z", action: Pause, by: annotation}
  - {at: "2026-01-01T00:00:00Z", action: Resume, by: annotation}
  - {at: "2026-01-01T00:00:00Z", action: Approve, by: MeshApproval shop-1-all, wave: all}
  - {at: "2026-01-01T00:00:00Z", action: Reject, by: MeshApproval shop-1-all, wave: all}
  - {at: "2026-01-01T00:00:00Z", action: Abort, by: spec.upgrade.state}`, ""},
		"the same twice":                {many(2), ""},
		"as many as are kept":           {many(20), ""},
		"one more":                      {many(21), "status.interventions"},
		"an action of a newer operator": {`status: {interventions: [{at: "2026-01-01T00:00:00Z", action: Extend, by: annotation}]}`, ""},
		"a phase of a newer operator":   {`status: {phase: Verifying, cause: Expired}`, ""},
		"conditions": {`status: {observedGeneration: 1, conditions: [{type: Ready, status: Unknown, reason: Upgrading, message: m, observedGeneration: 1,
  lastTransitionTime: "2026-01-01T00:00:00Z"}]}`, ""},
		"an action by nobody":     {`status: {interventions: [{at: "2026-01-01T00:00:00Z", action: Pause}]}`, "status.interventions[0].by"},
		"a retry of another one":  {`spec: {retry: {of: shop-0, by: annotation}}`, ""},
		"a retry of no other one": {`spec: {retry: {by: annotation}}`, "spec.retry.of"},
	}
	base := parse(t, upgradeBase)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			object := merge(base, parse(t, c.patch))
			if unknown := upgrades.unknownFields(object); len(unknown) > 0 {
				t.Errorf("unknown fields: %v", unknown)
			}
			errs := upgrades.validate(object, nil)
			switch {
			case c.wantField == "" && len(errs) > 0:
				t.Errorf("rejected: %v", errs)
			case c.wantField != "" && (len(errs) != 1 || errs[0].Field != c.wantField):
				t.Errorf("want one error, at %s, got %v", c.wantField, errs)
			}
		})
	}
}

// TestARetryCannotBeChanged wants the whole spec of a record to stay as it was made.
func TestARetryCannotBeChanged(t *testing.T) {
	base := parse(t, upgradeBase)
	with := func(patch string) map[string]any { return merge(base, parse(t, patch)) }
	order := `metadata: {annotations: {mesh.meshfleet.io/action: Abort}}`
	if errs := upgrades.validate(with(order), with(`{}`)); len(errs) > 0 {
		t.Errorf("an order is rejected: %v", errs)
	}
	if errs := upgrades.validate(with(`spec: {retry: {of: shop-0, by: annotation}}`), with(`{}`)); len(errs) != 1 {
		t.Errorf("want the rule's error, got %v", errs)
	}
}
