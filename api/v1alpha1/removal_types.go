package v1alpha1

// AnnotationRestoring marks a MeshMember that was deleted although its MeshInstallation lists it, and whose status is not
// written back yet. The operator does not act on such an object.
const AnnotationRestoring = "mesh.meshfleet.io/restoring"

// MemberActionOrphan is the value of the annotation `mesh.meshfleet.io/action` of a MeshMember that applies the deletion policy `Orphan`
// to that member alone. It has an effect only while the member leaves, and none with the policy `Force`.
const MemberActionOrphan = "Orphan"

// DeletionProtection selects whether admission refuses to delete a MeshInstallation while its mesh is in use.
type DeletionProtection string

const (
	// DeletionProtectionEnabled refuses the deletion while pods with a proxy of the mesh run in a member, or may run there.
	DeletionProtectionEnabled DeletionProtection = "Enabled"
	// DeletionProtectionDisabled refuses no deletion.
	DeletionProtectionDisabled DeletionProtection = "Disabled"
)

// MemberRemoval selects when a member is removed.
type MemberRemoval string

const (
	// RemovalWhenUnused keeps the member as it is until no proxy of the mesh runs there.
	RemovalWhenUnused MemberRemoval = "WhenUnused"
	// RemovalNow removes the mesh from the member.
	RemovalNow MemberRemoval = "Now"
)

// MemberRemovalStatus is the reason why the removal of a member waits.
type MemberRemovalStatus struct {
	// proxies is the number of pods with a proxy of the mesh in the member, and of other proxies that are connected to its
	// istiods. The operator's own gateways are not counted.
	// +required
	Proxies int32 `json:"proxies"`
	// sample contains the names of some of them. Pods are named `<namespace>/<name>`.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=5
	Sample []string `json:"sample,omitempty"`
}

// OrderInForce is the part of a work order that determines what runs in a member. The operator also records it in the member,
// so that it is known if the MeshMember is lost.
type OrderInForce struct {
	// revisions are the control planes, oldest first.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Revisions []Revision `json:"revisions"`
	// defaultRevision is the revision for `istio-injection: enabled`.
	// +required
	DefaultRevision string `json:"defaultRevision"`
	// tags are the named revision tags.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Tags []Tag `json:"tags,omitempty"`
	// gatewayRevision is the revision of the east-west gateway's proxies.
	// +required
	GatewayRevision string `json:"gatewayRevision"`
	// readerTokens selects how istiod gets the tokens with which it reads peers: File or Inline. Empty in a record of a former operator.
	// +optional
	ReaderTokens ReaderTokens `json:"readerTokens,omitempty"`
	// istiodRestart is the last restart of istiod that was ordered. Istiod's pods have its time as an annotation.
	// +optional
	IstiodRestart *IstiodRestart `json:"istiodRestart,omitempty"`
	// rollout is the upgrade that the member takes part in.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Rollout *MemberRollout `json:"rollout,omitempty"`
}
