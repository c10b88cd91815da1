package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MeshMember is the work order for one member cluster and its state. The operator writes it; people read it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=meshfleet
// +kubebuilder:printcolumn:name="Mesh",type=string,JSONPath=`.spec.installation`
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.spec.cluster`
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.spec.defaultRevision`
// +kubebuilder:printcolumn:name="Gateway",type=string,JSONPath=`.status.gateway.address`
// +kubebuilder:printcolumn:name="Peers",type=string,JSONPath=`.status.discovery.synced`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type MeshMember struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the complete work order for the member.
	// +required
	Spec MeshMemberSpec `json:"spec"`
	// status is the state of the member.
	// +optional
	Status MeshMemberStatus `json:"status,omitzero"`
}

// MeshMemberList is a list of MeshMembers.
//
// +kubebuilder:object:root=true
type MeshMemberList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MeshMember `json:"items"`
}

// MeshMemberSpec is everything that one member must look like.
type MeshMemberSpec struct {
	// installation is the name of the MeshInstallation, in the same namespace.
	// +required
	Installation string `json:"installation"`
	// cluster is the member's name in the installation and its Istio cluster ID.
	// +required
	Cluster string `json:"cluster"`
	// network is the Istio network of the member's pods.
	// +required
	Network string `json:"network"`
	// meshID is the mesh's ID.
	// +required
	MeshID string `json:"meshID"`
	// trustDomain is the mesh's trust domain.
	// +required
	TrustDomain string `json:"trustDomain"`
	// controlPlaneNamespace is the namespace of istiod and the gateway.
	// +required
	ControlPlaneNamespace string `json:"controlPlaneNamespace"`
	// clusterRef says how to reach the cluster.
	// +required
	ClusterRef ClusterRef `json:"clusterRef"`
	// apiServer is the URL at which peers reach the member's API server. Empty: the kubeconfig's server.
	// +optional
	APIServer string `json:"apiServer,omitempty"`
	// hubSecrets says whether peers may read the Secrets of this member if it is the hub. Default: `Protect`.
	// +optional
	HubSecrets HubSecrets `json:"hubSecrets,omitempty"`
	// caSecret is the hub Secret with the member's intermediate and the root.
	// +required
	CASecret string `json:"caSecret"`
	// pinnedRoot are the SHA-256 fingerprints (hex) of the mesh's root certificates. The member is given no other root. Empty:
	// the mesh's root is not known yet, and the member is given none.
	// +optional
	// +listType=set
	PinnedRoot []string `json:"pinnedRoot,omitempty"`
	// readerVersion is the newest Istio release among the peers that read this member; its permissions to read are
	// granted before that release runs anywhere.
	// +required
	ReaderVersion string `json:"readerVersion"`
	// revisions are the control planes to run, oldest first.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	Revisions []Revision `json:"revisions"`
	// defaultRevision is the revision of `istio-injection: enabled` and of unlabelled configuration's validation.
	// +required
	DefaultRevision string `json:"defaultRevision"`
	// tags are the named revision tags.
	// +optional
	// +listType=map
	// +listMapKey=name
	Tags []Tag `json:"tags,omitempty"`
	// gateway is the east-west gateway.
	// +required
	Gateway EastWestGateway `json:"gateway"`
	// gatewayRevision is the revision of the east-west gateway's proxies.
	// +required
	GatewayRevision string `json:"gatewayRevision"`
	// restart says how workloads are moved.
	// +optional
	// +kubebuilder:default={}
	Restart Restart `json:"restart,omitzero"`
	// rollout is the upgrade that the member takes part in.
	// +optional
	Rollout *MemberRollout `json:"rollout,omitempty"`
	// peers are the other members that this one must discover.
	// +optional
	// +listType=map
	// +listMapKey=name
	Peers []Peer `json:"peers,omitempty"`
	// readerTokens says how this member's istiod gets the tokens by which it reads its peers: `File` from a mounted Secret, so
	// that a renewed token changes no remote secret; `Inline` from the remote secrets themselves, as meshes have it that an older
	// operator made, until their istiod has been restarted once. Default: `Inline`.
	// +optional
	// +kubebuilder:default=Inline
	ReaderTokens ReaderTokens `json:"readerTokens,omitempty"`
	// readerTokenDuration is the life that is asked for the token by which peers read this member. Default: 168h.
	// +optional
	// +kubebuilder:default="168h"
	ReaderTokenDuration *metav1.Duration `json:"readerTokenDuration,omitempty"`
	// istiodRestart is the last restart of this member's istiod that was ordered to repair discovery.
	// +optional
	IstiodRestart *IstiodRestart `json:"istiodRestart,omitempty"`
	// deletionPolicy is the installation's.
	// +required
	DeletionPolicy DeletionPolicy `json:"deletionPolicy"`
	// removal is set when the member is no longer in spec.members, or the mesh is being deleted. `WhenUnused`: the member
	// stays as it is until no proxy of the mesh runs there. `Now`: the mesh is taken out of it. Empty: the member stays.
	// Deleting a MeshMember without that takes nothing out of its cluster.
	// +optional
	Removal MemberRemoval `json:"removal,omitempty"`
}

// ReaderTokens says how istiod gets the tokens by which it reads peers.
//
// +kubebuilder:validation:Enum=File;Inline
type ReaderTokens string

const (
	// ReaderTokensFile: the remote secrets name files, the tokens are in a Secret that is mounted into istiod.
	ReaderTokensFile ReaderTokens = "File"
	// ReaderTokensInline: the remote secrets contain the tokens.
	ReaderTokensInline ReaderTokens = "Inline"
)

// IstiodRestart is an order to restart istiod.
type IstiodRestart struct {
	// orderedAt is when the restart was ordered; it identifies the order.
	// +required
	OrderedAt metav1.Time `json:"orderedAt"`
	// reason is why.
	// +required
	Reason string `json:"reason"`
	// attempt counts the orders, in a row, of which the one before was not over. The time between two of them doubles each time,
	// from 10 minutes to 6 hours.
	// +required
	Attempt int32 `json:"attempt"`
}

// Revision is one control plane of one version and one set of values.
type Revision struct {
	// name of the revision.
	// +required
	Name string `json:"name"`
	// version is the Istio release.
	// +required
	Version string `json:"version"`
	// values are the user's istiod chart values, merged for this member.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Values *apiextensionsv1.JSON `json:"values,omitempty"`
}

// Tag points a stable name at a revision.
type Tag struct {
	// name of the tag.
	// +required
	Name string `json:"name"`
	// revision that it points at.
	// +required
	Revision string `json:"revision"`
}

// Peer is another member that this one must discover.
type Peer struct {
	// name is the peer's Istio cluster ID.
	// +required
	Name string `json:"name"`
	// readerSecret is the hub Secret with a kubeconfig that reads the peer.
	// +required
	ReaderSecret string `json:"readerSecret"`
}

// MeshMemberStatus is the state of one member.
type MeshMemberStatus struct {
	// observedGeneration is the generation of the spec that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions, see the constants in this package's documentation.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// clusterUID identifies the cluster: the UID of its kube-system namespace.
	// +optional
	ClusterUID string `json:"clusterUID,omitempty"`
	// kubernetesVersion is the API server's version.
	// +optional
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`
	// revisions are the states of the control planes.
	// +optional
	// +listType=map
	// +listMapKey=name
	Revisions []RevisionStatus `json:"revisions,omitempty"`
	// retiring are the control planes that the work order no longer names and that are still there, oldest first: each
	// goes as soon as nothing uses it any more. They are no reason not to be Ready.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Retiring []RetiringRevision `json:"retiring,omitempty"`
	// gateway is the state of the east-west gateway.
	// +optional
	Gateway GatewayStatus `json:"gateway,omitzero"`
	// trust is the state of the member's certificates.
	// +optional
	Trust MemberTrustStatus `json:"trust,omitzero"`
	// discovery is the state of endpoint discovery.
	// +optional
	Discovery DiscoveryStatus `json:"discovery,omitzero"`
	// keptTags are tags that spec.dataPlane.tags of the installation no longer names and that the member keeps, because
	// something in it still names them. They follow the default revision, and each goes by itself when nothing names it.
	// +optional
	// +listType=map
	// +listMapKey=name
	KeptTags []KeptTag `json:"keptTags,omitempty"`
	// rollout is the state of the upgrade that the member takes part in.
	// +optional
	Rollout *MemberRolloutStatus `json:"rollout,omitempty"`
	// removal is what keeps a member that is to leave. Empty: it stays, or it was not counted yet.
	// +optional
	Removal *MemberRemovalStatus `json:"removal,omitempty"`
	// recovered is what runs in the member according to its own record, while this object is new and has not seen it yet. The
	// operator takes it over into the work order.
	// +optional
	Recovered *OrderInForce `json:"recovered,omitempty"`
}

// KeptTag is a tag that stays although the installation's spec no longer names it.
type KeptTag struct {
	// name of the tag.
	// +required
	Name string `json:"name"`
	// holders name the tag by the label `istio.io/rev`: namespaces and Gateways first, then pod templates and pods.
	// +optional
	Holders Sample `json:"holders,omitzero"`
	// unknown says which kinds could not be listed. As long as there is one, the tag stays: objects of that kind may name it.
	// +optional
	// +listType=atomic
	Unknown []string `json:"unknown,omitempty"`
}

// RevisionStatus is the state of one control plane.
type RevisionStatus struct {
	// name of the revision.
	// +required
	Name string `json:"name"`
	// version is the Istio release.
	// +required
	Version string `json:"version"`
	// hash of the version and the values.
	// +optional
	Hash string `json:"hash,omitempty"`
	// replicas that are ready.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas"`
}

// RetiringRevision is a control plane that goes as soon as nothing uses it any more.
type RetiringRevision struct {
	// name of the revision.
	// +required
	Name string `json:"name"`
	// version is the Istio release. Empty: not known.
	// +optional
	Version string `json:"version,omitempty"`
	// hash of the version and the values. Empty: not known.
	// +optional
	Hash string `json:"hash,omitempty"`
	// since is when the work order was first seen not to name it.
	// +required
	Since metav1.Time `json:"since"`
	// users are what keeps it: pods with its proxy, as `<namespace>/<name>`, connected proxies, and istiod pods and members that
	// could not be asked. None: it is being removed.
	// +optional
	Users Sample `json:"users,omitzero"`
}

// GatewayStatus is the state of the east-west gateway.
type GatewayStatus struct {
	// name of the gateway's Deployment and Service.
	// +optional
	Name string `json:"name,omitempty"`
	// revision of the gateway.
	// +optional
	Revision string `json:"revision,omitempty"`
	// address is the IP address or host name at which peers reach the gateway.
	// +optional
	Address string `json:"address,omitempty"`
	// announced says since when the gateway's Service has carried the network label that tells peers of it.
	// +optional
	Announced *metav1.Time `json:"announced,omitempty"`
}

// MemberTrustStatus is the state of the member's certificates.
type MemberTrustStatus struct {
	// claimedRoot is the root that the member was found to belong to: what its claim, the ConfigMap `meshfleet-member`,
	// records, or else that of the `cacerts` which the operator made. SHA-256 fingerprints (hex), separated by commas, or
	// `none`. Empty: the claim has not been read yet.
	// +optional
	ClaimedRoot string `json:"claimedRoot,omitempty"`
	// rootFingerprints are the SHA-256 fingerprints (hex) of the roots that istiod hands to workloads.
	// +optional
	// +listType=set
	RootFingerprints []string `json:"rootFingerprints,omitempty"`
	// intermediateNotAfter is the end of the intermediate's life.
	// +optional
	IntermediateNotAfter *metav1.Time `json:"intermediateNotAfter,omitempty"`
}

// DiscoveryStatus is the state of endpoint discovery.
type DiscoveryStatus struct {
	// synced is the number of peers that every istiod of this member has synced, out of all peers, as `1/1`.
	// +optional
	Synced string `json:"synced,omitempty"`
	// tokenExpires is the end of the reader token that this member's peers use.
	// +optional
	TokenExpires *metav1.Time `json:"tokenExpires,omitempty"`
	// gateways are the addresses of peers' gateways that every istiod of this member sends traffic to, as
	// `<network>/<address>`.
	// +optional
	// +listType=set
	Gateways []string `json:"gateways,omitempty"`
	// acknowledgedGateways are those gateways as they were when every proxy of this member had last acknowledged what istiod
	// said of them, as `<network>/<address>`. A gateway that is not among them gets no more requests from this member, and
	// one that is new among them is known to every proxy. A proxy that acknowledges nothing for two minutes does not count.
	// +optional
	// +listType=set
	AcknowledgedGateways []string `json:"acknowledgedGateways,omitempty"`
	// marker is the address that this member last gave to its Service `meshfleet-discovery`. Peers that have seen it receive what
	// is new in this member.
	// +optional
	Marker *DiscoveryMarker `json:"marker,omitempty"`
	// restartNeeded says why this member's istiod must be restarted before it discovers all peers again. It is ordered for one
	// member at a time, and never while a member cannot be reached.
	// +optional
	RestartNeeded *RestartNeed `json:"restartNeeded,omitempty"`
	// restartedAt is the spec.istiodRestart.orderedAt of the last restart after which every peer was synced.
	// +optional
	RestartedAt *metav1.Time `json:"restartedAt,omitempty"`
	// peers is the state of each peer as this member's istiod reports it.
	// +optional
	// +listType=map
	// +listMapKey=name
	Peers []PeerStatus `json:"peers,omitempty"`
}

// PeerStatus is the state of one peer as this member sees it.
type PeerStatus struct {
	// name of the peer.
	// +required
	Name string `json:"name"`
	// state is istiod's word: synced, syncing, timeout, closed; or missing when istiod does not list the peer, stale when it
	// does not receive what is new there.
	// +required
	State string `json:"state"`
	// marker is the last address of the peer's Service `meshfleet-discovery` that every istiod of this member has received.
	// +optional
	Marker string `json:"marker,omitempty"`
}

// DiscoveryMarker is an object that shows whether what is new in a member arrives at its peers.
type DiscoveryMarker struct {
	// address is the one endpoint of the Service. Nothing listens there.
	// +required
	Address string `json:"address"`
	// since is when it was written.
	// +required
	Since metav1.Time `json:"since"`
}

// RestartNeed says why istiod must be restarted.
type RestartNeed struct {
	// reason is `PeerStuck` when istiod reads a peer no more, `RemoteSecretChanged` when the API server or the CA of a peer has
	// changed.
	// +required
	Reason string `json:"reason"`
	// message names the peers.
	// +required
	Message string `json:"message"`
}
