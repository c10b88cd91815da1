package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// VerbApprove is the verb on meshupgrades that permits a user to decide MeshApprovals, and to remove the requirement of an approval
// from a MeshInstallation. Admission checks it.
const VerbApprove = "approve"

// MeshApproval requests a decision whether a wave may start. The operator creates it, and a person with the verb `approve` on
// `meshupgrades` decides.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=meshfleet
// +kubebuilder:printcolumn:name="Upgrade",type=string,JSONPath=`.spec.upgradeRef.name`
// +kubebuilder:printcolumn:name="Wave",type=string,JSONPath=`.spec.wave`
// +kubebuilder:printcolumn:name="Decision",type=string,JSONPath=`.spec.decision`
// +kubebuilder:printcolumn:name="By",type=string,JSONPath=`.spec.decidedBy`
// +kubebuilder:printcolumn:name="Used",type=string,JSONPath=`.status.conditions[?(@.type=="Used")].status`
// +kubebuilder:printcolumn:name="Expires",type=string,priority=1,JSONPath=`.spec.expires`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type MeshApproval struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the request and the decision.
	// +required
	Spec MeshApprovalSpec `json:"spec"`
	// status is the effect of the decision.
	// +optional
	Status MeshApprovalStatus `json:"status,omitzero"`
}

// MeshApprovalList is a list of MeshApprovals.
//
// +kubebuilder:object:root=true
type MeshApprovalList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MeshApproval `json:"items"`
}

// MeshApprovalSpec is a request for a decision, and the decision.
//
// +kubebuilder:validation:XValidation:rule="self.upgradeRef == oldSelf.upgradeRef && self.wave == oldSelf.wave",message="spec.upgradeRef and spec.wave are immutable; only the decision, its reason and its expiry can be changed"
// +kubebuilder:validation:XValidation:rule="oldSelf.decision == 'Pending' || self == oldSelf",message="spec is immutable after the decision; set the annotation mesh.meshfleet.io/action of the MeshUpgrade to Pause or Abort instead"
// +kubebuilder:validation:XValidation:rule="!has(self.expires) || self.decision == 'Approved'",message="spec.expires: allowed with the decision Approved only"
type MeshApprovalSpec struct {
	// upgradeRef is the MeshUpgrade whose wave waits.
	// +required
	UpgradeRef UpgradeRef `json:"upgradeRef"`
	// wave is the name of the wave that waits for the approval.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	Wave string `json:"wave"`
	// decision is `Pending` until a person sets it to `Approved` or `Rejected`. `Rejected` counts as a failure of the wave and
	// rolls members back according to rollbackScope.
	// +required
	// +kubebuilder:validation:Enum=Pending;Approved;Rejected
	Decision Decision `json:"decision"`
	// reason is the reason of the decision, or a reference to it, such as the number of a change request. The operator only
	// records it.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
	// expires is the time until which the wave must have started. After that the approval has no effect, and the operator requests
	// another one. It does not affect a wave that has started. Default: the approval does not expire.
	// +optional
	Expires *metav1.Time `json:"expires,omitempty"`
	// decidedBy is the name of the user that made the decision. Admission sets it from the request, whatever is written here.
	// Empty: there is no decision.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	DecidedBy string `json:"decidedBy,omitempty"`
}

// UpgradeRef identifies a MeshUpgrade in the same namespace. A MeshUpgrade that is deleted and created again under the same name is
// another one.
type UpgradeRef struct {
	// name is the name of the MeshUpgrade.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// uid is the UID of the MeshUpgrade.
	// +required
	UID types.UID `json:"uid"`
}

// MeshApprovalStatus is the effect of a decision.
type MeshApprovalStatus struct {
	// observedGeneration is the generation of the spec that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions are `Ready`, `Accepted` and `Used`, and also `Reconciling` or `Stalled` while these are True.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=32
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Decision is the decision of a MeshApproval.
type Decision string

const (
	// DecisionPending: no decision was made.
	DecisionPending Decision = "Pending"
	// DecisionApproved: the wave may start.
	DecisionApproved Decision = "Approved"
	// DecisionRejected: members are rolled back.
	DecisionRejected Decision = "Rejected"
)
