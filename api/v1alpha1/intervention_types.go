package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AnnotationAction is the annotation of a MeshUpgrade that contains an UpgradeAction. The operator creates that object, so no
// GitOps tool overwrites the annotation. Permission to set it can be granted separately. Absent or empty: the upgrade
// continues. A MeshMember that leaves may have it with the value MemberActionOrphan.
const AnnotationAction = "mesh.meshfleet.io/action"

// AnnotationRenew is the annotation of a Secret with the kubeconfig of a member. With the value `true` the operator renews the
// ServiceAccount token in it before the token expires. Do not set it on a Secret that another client writes, such as Cluster API or
// a GitOps tool.
const AnnotationRenew = "mesh.meshfleet.io/renew"

// UpgradeAction is an action that a person requests for one upgrade.
type UpgradeAction string

const (
	// UpgradeActionPause starts no further stage in any member until the annotation is removed. It is allowed until the upgrade
	// is over.
	UpgradeActionPause UpgradeAction = "Pause"
	// UpgradeActionAbort rolls back every changed member. The same target does not start again until the annotation is removed
	// or changed to Retry. It is allowed until the upgrade is over.
	UpgradeActionAbort UpgradeAction = "Abort"
	// UpgradeActionRetry starts a target that failed, was rejected or was aborted again, by a new MeshUpgrade. It is allowed
	// when the upgrade is over.
	UpgradeActionRetry UpgradeAction = "Retry"
)

// InterventionAction is an action of a person on an upgrade. A newer operator may add values.
type InterventionAction string

const (
	// ActionPause: the upgrade was paused.
	ActionPause InterventionAction = "Pause"
	// ActionResume: the upgrade was resumed, because no setting asked for a pause any more.
	ActionResume InterventionAction = "Resume"
	// ActionAbort: the upgrade was aborted.
	ActionAbort InterventionAction = "Abort"
	// ActionRetry: the upgrade was started to retry another one that did not reach its target.
	ActionRetry InterventionAction = "Retry"
	// ActionApprove: a wave was approved.
	ActionApprove InterventionAction = "Approve"
	// ActionReject: a wave was rejected.
	ActionReject InterventionAction = "Reject"
)

// Sources of interventions, besides MeshApprovals.
const (
	// ByAnnotation: the annotation mesh.meshfleet.io/action of a MeshUpgrade.
	ByAnnotation = "annotation"
	// ByState: the field spec.upgrade.state of the MeshInstallation.
	ByState = "spec.upgrade.state"
	// ByAttempt: the field spec.upgrade.attempt of the MeshInstallation.
	ByAttempt = "spec.upgrade.attempt"
)

// Intervention is an action of a person on an upgrade. It is recorded once, when it takes effect.
type Intervention struct {
	// at is the time at which the intervention took effect.
	// +required
	At metav1.Time `json:"at"`
	// action is `Pause`, `Resume`, `Abort`, `Retry`, `Approve` or `Reject`. A newer operator may add values.
	// +required
	Action InterventionAction `json:"action"`
	// by is the source of the intervention: `annotation`, `spec.upgrade.state`, `spec.upgrade.attempt` or `MeshApproval
	// <name>`.
	// +required
	By string `json:"by"`
	// wave is the wave that was approved or rejected.
	// +optional
	Wave string `json:"wave,omitempty"`
}

// UpgradeRetry identifies the upgrade that is retried.
type UpgradeRetry struct {
	// of is the name of the MeshUpgrade that did not reach the same target.
	// +required
	Of string `json:"of"`
	// by is the source of the request: `annotation` or `spec.upgrade.attempt`.
	// +required
	By string `json:"by"`
}
