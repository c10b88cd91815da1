package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// GatewayReplicas are the bounds of an autoscaler.
type GatewayReplicas struct {
	// min is the minimum number of replicas.
	// +optional
	Min int32 `json:"min,omitempty"`
	// max is the maximum number of replicas.
	// +optional
	Max int32 `json:"max,omitempty"`
}

// Revision is one control plane with its east-west gateway: one version and one set of settings. The name of a revision
// stands for one content: another content has another name.
type Revision struct {
	// name is the name of the revision.
	// +required
	Name string `json:"name"`
	// version is the Istio release.
	// +required
	Version string `json:"version"`
	// values are the istiod chart values of the spec, merged for this member.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Values *apiextensionsv1.JSON `json:"values,omitempty"`
	// gateway are the settings of the east-west gateway of this revision, merged for this member.
	// +optional
	Gateway RevisionGateway `json:"gateway,omitzero"`
	// rendering identifies how the operator that ordered the revision renders the charts of this version: it is a hash of the
	// objects that it makes for fixed settings. An operator release that renders the same version differently has another one, and
	// brings its objects by an upgrade. Empty: it renders as the first operator release did that knew this version.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Rendering string `json:"rendering,omitempty"`
	// charts are the digests of the charts. Empty: the charts in the operator's image.
	// +optional
	Charts ChartDigests `json:"charts,omitzero"`
}

// RevisionGateway are the settings of the east-west gateway of a revision. Its replicas are not among them: they can be
// changed in place.
type RevisionGateway struct {
	// replacement is `Surge` or `InPlace`, see spec.eastWestGateway.replacement of the MeshInstallation.
	// +optional
	Replacement GatewayReplacement `json:"replacement,omitempty"`
	// annotations are the annotations of the gateway's Service.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
	// values are the values of the gateway chart.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Values *apiextensionsv1.JSON `json:"values,omitempty"`
}
