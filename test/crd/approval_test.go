package crd

const approvalBase = `
apiVersion: mesh.meshfleet.io/v1alpha1
kind: MeshApproval
metadata: {name: shop-1-rest, namespace: meshfleet-system}
spec:
  upgradeRef: {name: shop-1, uid: "1"}
  wave: rest
  decision: Pending
`

var approvalCases = []ruleCases{
	{
		message: "spec.upgradeRef and spec.wave are immutable; only the decision, its reason and its expiry can be changed",
		updates: []update{
			{from: `{}`, to: `spec: {decision: Approved, reason: "CHG-1", decidedBy: alice, expires: "2026-01-01T00:00:00Z"}`, wantOK: true},
			{from: `{}`, to: `spec: {upgradeRef: {uid: "2"}}`},
			{from: `{}`, to: `spec: {upgradeRef: {name: shop-2}}`},
			{from: `{}`, to: `spec: {wave: canary}`},
		},
	},
	{
		message: "spec is immutable after the decision; set the annotation mesh.meshfleet.io/action of the MeshUpgrade to Pause or Abort instead",
		updates: []update{
			{from: `{}`, to: `spec: {decision: Rejected, reason: early}`, wantOK: true},
			{from: `spec: {decision: Approved}`, to: `{metadata: {labels: {a: b}}, spec: {decision: Approved}}`, wantOK: true},
			{from: `spec: {decision: Approved}`, to: `spec: {decision: Rejected}`},
			{from: `spec: {decision: Approved, decidedBy: alice}`, to: `spec: {decision: Approved, decidedBy: bob}`},
			{from: `spec: {decision: Approved, expires: "2026-01-01T00:00:00Z"}`, to: `spec: {decision: Approved, expires: "2026-01-02T00:00:00Z"}`},
			{from: `spec: {decision: Rejected}`, to: `{}`},
		},
	},
	{
		message: "spec.expires: allowed with the decision Approved only",
		accepts: []string{`spec: {decision: Approved, expires: "2026-01-01T00:00:00Z"}`, `spec: {decision: Rejected, reason: "too early"}`},
		rejects: []string{`spec: {expires: "2026-01-01T00:00:00Z"}`, `spec: {decision: Rejected, expires: "2026-01-01T00:00:00Z"}`},
	},
}
