package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AnnotationAction on a MeshUpgrade holds a person's UpgradeAction. The operator makes that object and no tool keeps it in
// Git, so that nothing writes the annotation over, and permission to set it can be given apart. Absent or empty: the upgrade
// goes on.
const AnnotationAction = "mesh.meshfleet.io/action"

// UpgradeAction is what a person wants of one upgrade.
type UpgradeAction string

const (
	// UpgradeActionPause lets no member begin another stage until the annotation is taken away. For an upgrade that is not over.
	UpgradeActionPause UpgradeAction = "Pause"
	// UpgradeActionAbort takes every touched member back, and the same target does not start until the annotation is taken away or
	// says Retry. For an upgrade that is not over.
	UpgradeActionAbort UpgradeAction = "Abort"
	// UpgradeActionRetry lets a target that failed, or was rejected or aborted, start once more, as a new MeshUpgrade. For an upgrade
	// that is over.
	UpgradeActionRetry UpgradeAction = "Retry"
)

// InterventionAction is what a person did to an upgrade. A newer operator may have more.
type InterventionAction string

const (
	// ActionPause: the upgrade was told to stand still.
	ActionPause InterventionAction = "Pause"
	// ActionResume: nobody wanted it to stand still any more.
	ActionResume InterventionAction = "Resume"
	// ActionAbort: it was told to go back.
	ActionAbort InterventionAction = "Abort"
	// ActionRetry: it was told to try again what another one had not brought to its end.
	ActionRetry InterventionAction = "Retry"
	// ActionApprove: a wave was approved.
	ActionApprove InterventionAction = "Approve"
	// ActionReject: a wave was rejected.
	ActionReject InterventionAction = "Reject"
)

// Where interventions come from, besides MeshApprovals.
const (
	// ByAnnotation: the annotation mesh.meshfleet.io/action of a MeshUpgrade.
	ByAnnotation = "annotation"
	// ByState: the field spec.upgrade.state of the MeshInstallation.
	ByState = "spec.upgrade.state"
	// ByAttempt: the field spec.upgrade.attempt of the MeshInstallation.
	ByAttempt = "spec.upgrade.attempt"
)

// Intervention is something that a person did to an upgrade. It is recorded once, when it takes effect.
type Intervention struct {
	// at is when it took effect.
	// +required
	At metav1.Time `json:"at"`
	// action is `Pause`, `Resume`, `Abort`, `Retry`, `Approve` or `Reject`. A newer operator may have more.
	// +required
	Action InterventionAction `json:"action"`
	// by is where it came from: `annotation`, `spec.upgrade.state`, `spec.upgrade.attempt` or `MeshApproval <name>`.
	// +required
	By string `json:"by"`
	// wave that was approved or rejected.
	// +optional
	Wave string `json:"wave,omitempty"`
}

// UpgradeRetry says what an upgrade tries again.
type UpgradeRetry struct {
	// of is the name of the MeshUpgrade that did not bring the same target to its end.
	// +required
	Of string `json:"of"`
	// by is where it was asked for: `annotation` or `spec.upgrade.attempt`.
	// +required
	By string `json:"by"`
}
