package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Hold keeps a member at its revision while the other members are upgraded.
type Hold struct {
	// reason is why the member is held: one line, without spaces at its ends. Messages quote it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^\\\\S(.*\\\\S)?$')",message="spec.members[].hold.reason: write one line, without spaces at its ends"
	Reason string `json:"reason"`
	// until is the time until which the hold was agreed. It ends nothing: after that time the member stays held, and the condition
	// `HoldsCurrent` of the MeshInstallation is `False`.
	// +required
	Until metav1.Time `json:"until"`
}
