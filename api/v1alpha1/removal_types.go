package v1alpha1

// AnnotationRestoring marks a MeshMember that was deleted while its MeshInstallation names it, and whose status is not
// written back yet. Nothing acts on such an object.
const AnnotationRestoring = "mesh.meshfleet.io/restoring"

// MemberRemoval says how far the removal of a member is ordered.
//
// +kubebuilder:validation:Enum=WhenUnused;Now
type MemberRemoval string

const (
	// RemovalWhenUnused keeps the member as it is until no proxy of the mesh runs there.
	RemovalWhenUnused MemberRemoval = "WhenUnused"
	// RemovalNow takes the mesh out of the member.
	RemovalNow MemberRemoval = "Now"
)

// MemberRemovalStatus is what keeps a member that is to leave.
type MemberRemovalStatus struct {
	// proxies is the number of pods with a proxy of the mesh in the member, and of other proxies that are connected to its
	// istiods. The operator's own gateways do not count.
	// +required
	Proxies int32 `json:"proxies"`
	// sample names some of them: pods as `<namespace>/<name>`.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=5
	Sample []string `json:"sample,omitempty"`
}

// OrderInForce is the part of a work order that says what runs in a member. The operator records it in the member too,
// so that it is known when the MeshMember was lost.
type OrderInForce struct {
	// revisions are the control planes, oldest first.
	// +required
	// +listType=map
	// +listMapKey=name
	Revisions []Revision `json:"revisions"`
	// defaultRevision is the revision of `istio-injection: enabled`.
	// +required
	DefaultRevision string `json:"defaultRevision"`
	// tags are the named revision tags.
	// +optional
	// +listType=map
	// +listMapKey=name
	Tags []Tag `json:"tags,omitempty"`
	// gatewayRevision is the revision of the east-west gateway's proxies.
	// +required
	GatewayRevision string `json:"gatewayRevision"`
	// rollout is the upgrade that the member takes part in.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Rollout *MemberRollout `json:"rollout,omitempty"`
}
