package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// MeshMember is the work order for one member cluster and its state. The operator writes it. Read it, and do not edit it.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=meshfleet
// +kubebuilder:printcolumn:name="Mesh",type=string,JSONPath=`.spec.installation`
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.spec.cluster`
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.spec.defaultRevision`
// +kubebuilder:printcolumn:name="Gateway",type=string,JSONPath=`.status.gateway.addresses[0]`
// +kubebuilder:printcolumn:name="Peers",type=integer,JSONPath=`.status.discovery.syncedPeers`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Proxies",type=integer,priority=1,JSONPath=`.status.proxies`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type MeshMember struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the complete work order for the member.
	// +required
	Spec MeshMemberSpec `json:"spec"`
	// status is the observed state of the member.
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

// MeshMemberSpec is the desired state of one member.
type MeshMemberSpec struct {
	// installation is the name of the MeshInstallation, in the same namespace.
	// +required
	Installation string `json:"installation"`
	// cluster is the name of the member in the installation and its Istio cluster ID.
	// +required
	Cluster string `json:"cluster"`
	// network is the Istio network of the member's pods.
	// +required
	Network string `json:"network"`
	// meshID is the ID of the mesh.
	// +required
	MeshID string `json:"meshID"`
	// trustDomain is the trust domain of the mesh.
	// +required
	TrustDomain string `json:"trustDomain"`
	// controlPlaneNamespace is the namespace of istiod and the gateway.
	// +required
	ControlPlaneNamespace string `json:"controlPlaneNamespace"`
	// clusterRef configures how the operator connects to the cluster.
	// +required
	ClusterRef ClusterRef `json:"clusterRef"`
	// apiServer is the URL at which peers reach the API server of the member. Empty: the server of the kubeconfig.
	// +optional
	APIServer string `json:"apiServer,omitempty"`
	// apiServerCA are the certificates, PEM, of the authorities that sign the certificate of apiServer. Empty: the CA of the
	// connection in clusterRef.
	// +optional
	APIServerCA string `json:"apiServerCA,omitempty"`
	// hubSecrets selects whether peers may read the Secrets of this member if it is the hub. Default: `Protect`.
	// +optional
	HubSecrets HubSecrets `json:"hubSecrets,omitempty"`
	// caSecret is the Secret on the hub that contains the member's intermediate and the root.
	// +required
	CASecret string `json:"caSecret"`
	// pinnedRoot are the SHA-256 fingerprints (hex) of the mesh's root certificates. The operator writes no other root to the
	// member. Empty: the root of the mesh is not known yet, and no root is written.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1024
	PinnedRoot []string `json:"pinnedRoot,omitempty"`
	// readerVersion is the newest Istio release among the peers that read this member. The permissions to read for that release
	// are granted before it runs in any peer.
	// +required
	ReaderVersion string `json:"readerVersion"`
	// readerCharts are the charts of readerVersion. Empty: the charts in the operator's image.
	// +optional
	ReaderCharts ChartDigests `json:"readerCharts,omitzero"`
	// revisions are the control planes to run, oldest first.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Revisions []Revision `json:"revisions"`
	// defaultRevision is the revision for `istio-injection: enabled`. It also validates configuration without a revision label.
	// +required
	DefaultRevision string `json:"defaultRevision"`
	// tags are the named revision tags.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Tags []Tag `json:"tags,omitempty"`
	// gatewayReplicas are the bounds of the autoscaler of the east-west gateway.
	// +optional
	GatewayReplicas GatewayReplicas `json:"gatewayReplicas,omitzero"`
	// gatewayRevision is the revision of the east-west gateway's proxies and settings.
	// +required
	GatewayRevision string `json:"gatewayRevision"`
	// restart configures how workloads are restarted.
	// +optional
	// +kubebuilder:default={}
	Restart MemberRestart `json:"restart,omitzero"`
	// rollout is the upgrade that the member takes part in.
	// +optional
	Rollout *MemberRollout `json:"rollout,omitempty"`
	// peers are the other members that this member must discover.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=1000
	Peers []Peer `json:"peers,omitempty"`
	// readerTokens selects how the istiod of this member gets the tokens with which it reads its peers. `File`: from a mounted
	// Secret. A renewed token then changes no remote secret. `Inline`: from the remote secrets. This is used in meshes that an
	// older operator created, until their istiod has been restarted once. Default: `Inline`.
	// +optional
	// +kubebuilder:default=Inline
	ReaderTokens ReaderTokens `json:"readerTokens,omitempty"`
	// readerTokenDuration is the lifetime that is requested for the token with which peers read this member. Default: 168h.
	// +optional
	// +kubebuilder:default="168h"
	ReaderTokenDuration *metav1.Duration `json:"readerTokenDuration,omitempty"`
	// istiodRestart is the last restart of this member's istiod that was ordered to repair discovery.
	// +optional
	IstiodRestart *IstiodRestart `json:"istiodRestart,omitempty"`
	// deletionPolicy is the setting of the MeshInstallation.
	// +required
	DeletionPolicy DeletionPolicy `json:"deletionPolicy"`
	// removal is set when the member is no longer in spec.members of the MeshInstallation, or when the mesh is being deleted.
	// `WhenUnused`: the member stays as it is until no proxy of the mesh runs there. `Now`: the mesh is removed from the
	// member. Empty: the member is not removed. If a MeshMember without this field is deleted, nothing is removed from its
	// cluster.
	// +optional
	Removal MemberRemoval `json:"removal,omitempty"`
}

// MemberRestart configures how workloads of a member are restarted.
type MemberRestart struct {
	// method is how pods are replaced: `RolloutRestart` or `Evict`. A newer operator may add values. Default: `RolloutRestart`.
	// +optional
	// +kubebuilder:default=RolloutRestart
	Method RestartMethod `json:"method,omitempty"`
	// firstNamespaces selects the namespaces whose workloads are restarted first. Default: none.
	// +optional
	FirstNamespaces *metav1.LabelSelector `json:"firstNamespaces,omitempty"`
	// maxUnavailable is how many workloads may restart at the same time, as a number or as a percentage. Default: 10%.
	// +optional
	// +kubebuilder:default="10%"
	// +kubebuilder:validation:XIntOrString
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`
}

// ReaderTokens selects how istiod gets the tokens with which it reads peers.
type ReaderTokens string

const (
	// ReaderTokensFile: the remote secrets name files. The tokens are in a Secret that is mounted into istiod.
	ReaderTokensFile ReaderTokens = "File"
	// ReaderTokensInline: the remote secrets contain the tokens.
	ReaderTokensInline ReaderTokens = "Inline"
)

// IstiodRestart is an order to restart istiod.
type IstiodRestart struct {
	// orderedAt is the time at which the restart was ordered. It identifies the order.
	// +required
	OrderedAt metav1.Time `json:"orderedAt"`
	// reason is the reason of the restart.
	// +required
	Reason string `json:"reason"`
	// attempt is the position of this order in a sequence of orders of which none was complete before the next one. It starts
	// at 1. The time between two orders doubles each time, from 10 minutes to 6 hours.
	// +required
	Attempt int32 `json:"attempt"`
}

// Tag is a stable name of a revision.
type Tag struct {
	// name is the name of the tag.
	// +required
	Name string `json:"name"`
	// revision is the revision of the tag.
	// +required
	Revision string `json:"revision"`
}

// Peer is another member that this member must discover.
type Peer struct {
	// name is the Istio cluster ID of the peer.
	// +required
	Name string `json:"name"`
	// readerSecret is the Secret on the hub that contains a kubeconfig to read the peer.
	// +required
	ReaderSecret string `json:"readerSecret"`
}

// MeshMemberStatus is the observed state of one member.
type MeshMemberStatus struct {
	// observedGeneration is the generation of the spec that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions are the conditions of the member. docs/conditions.md describes them.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=32
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// clusterUID identifies the cluster. It is the UID of the namespace kube-system.
	// +optional
	ClusterUID string `json:"clusterUID,omitempty"`
	// origin is the UID of the namespace kube-system of the hub that first claimed the member. Cluster-scoped objects of the mesh in the
	// member have it in the label mesh.meshfleet.io/origin, by which they are found if the control plane's namespace is deleted.
	// +optional
	Origin string `json:"origin,omitempty"`
	// kubernetesVersion is the version of the API server.
	// +optional
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`
	// credentialExpires is the expiry of the credential with which the operator connects to the member: of the token, or of the
	// client certificate, in its kubeconfig. Empty: the credential has no expiry, or does not contain it.
	// +optional
	CredentialExpires *metav1.Time `json:"credentialExpires,omitempty"`
	// revisions are the states of the control planes.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Revisions []RevisionStatus `json:"revisions,omitempty"`
	// retiring are old control planes that still exist and are not in the work order, oldest first. Each is removed when
	// nothing uses it any more. They do not affect the condition Ready.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Retiring []RetiringRevision `json:"retiring,omitempty"`
	// renderings are the objects rendered from charts that the member keeps, compressed, in the inventories of its components.
	// The operator applies them again as long as the settings of a component stay the same, also after its own update.
	// +optional
	// +listType=map
	// +listMapKey=component
	// +kubebuilder:validation:MaxItems=16
	Renderings []KeptRendering `json:"renderings,omitempty"`
	// gateway is the state of the east-west gateway.
	// +optional
	Gateway GatewayStatus `json:"gateway,omitzero"`
	// trust is the state of the member's certificates.
	// +optional
	Trust MemberTrustStatus `json:"trust,omitzero"`
	// discovery is the state of endpoint discovery.
	// +optional
	Discovery DiscoveryStatus `json:"discovery,omitzero"`
	// keptTags are tags that were removed from spec.dataPlane.tags of the MeshInstallation and that the member keeps, because
	// something in it still names them. They point at the default revision. Each is removed automatically when nothing names
	// it.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	KeptTags []KeptTag `json:"keptTags,omitempty"`
	// rollout is the state of the upgrade that the member takes part in.
	// +optional
	Rollout *MemberRolloutStatus `json:"rollout,omitempty"`
	// proxies is the number of pods with a proxy of the mesh in the member, as they were last counted: every five minutes, and every
	// minute while there are none. In a mesh with more than 60 members they are counted less often. The operator's own gateways are
	// not counted. The MeshInstallation cannot be deleted while there are such pods, see its spec.deletionProtection. Absent: the
	// number is unknown.
	// +optional
	Proxies *int32 `json:"proxies,omitempty"`
	// removal is the reason why the removal of the member waits. Empty: the member is not removed, or its proxies were not
	// counted yet.
	// +optional
	Removal *MemberRemovalStatus `json:"removal,omitempty"`
	// recovered is what runs in the member according to the record in its cluster. It is set while this object is new and its
	// work order does not contain that record yet. The operator then copies it into the work order.
	// +optional
	Recovered *OrderInForce `json:"recovered,omitempty"`
}

// KeptTag is a tag that stays although it was removed from the spec of the MeshInstallation.
type KeptTag struct {
	// name is the name of the tag.
	// +required
	Name string `json:"name"`
	// holders are the objects whose label `istio.io/rev` names the tag: namespaces and Gateways first, then pod templates and
	// pods.
	// +optional
	Holders Sample `json:"holders,omitzero"`
	// unknown are the reasons why some kinds could not be listed. The tag stays while there is one, because objects of these
	// kinds may name it.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Unknown []string `json:"unknown,omitempty"`
}

// RevisionStatus is the state of one control plane.
type RevisionStatus struct {
	// name is the name of the revision.
	// +required
	Name string `json:"name"`
	// version is the Istio release.
	// +required
	Version string `json:"version"`
	// hash is the hash of the version, the values and the gateway settings.
	// +optional
	Hash string `json:"hash,omitempty"`
	// readyReplicas is the number of ready replicas.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas"`
}

// KeptRendering is a rendering that the member keeps.
type KeptRendering struct {
	// component is the name of the component. The ConfigMap `meshfleet-inventory-<component>` in the control plane's namespace
	// contains the rendering.
	// +required
	Component string `json:"component"`
	// hash is the hash of the rendering. The operator does not apply a rendering with another hash.
	// +required
	Hash string `json:"hash"`
}

// RetiringRevision is an old control plane that is removed when nothing uses it any more.
type RetiringRevision struct {
	// name is the name of the revision.
	// +required
	Name string `json:"name"`
	// version is the Istio release. Empty: unknown.
	// +optional
	Version string `json:"version,omitempty"`
	// hash is the hash of the version, the values and the gateway settings. Empty: unknown.
	// +optional
	Hash string `json:"hash,omitempty"`
	// since is the time at which the revision was first missing in the work order.
	// +required
	Since metav1.Time `json:"since"`
	// users are what keeps the revision: pods with its proxy, as `<namespace>/<name>`, connected proxies, objects that name it,
	// and istiod pods and members that did not report. Empty: the revision is being removed.
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
	// addresses are the IP addresses or host names at which peers reach the gateway: those of its load balancer, and the external IPs
	// of its Service. At most 16.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	Addresses []string `json:"addresses,omitempty"`
	// announced is since when the gateway's Service has carried the network label by which peers find it.
	// +optional
	Announced *metav1.Time `json:"announced,omitempty"`
	// takeover is set while the gateway replaces another one.
	// +optional
	Takeover *GatewayTakeover `json:"takeover,omitempty"`
}

// GatewayTakeover is the replacement of another gateway.
type GatewayTakeover struct {
	// heldBefore are the addresses of the member's network that istiods of the peers held just before the gateway was announced, sorted.
	// Another address shows that a peer knows a gateway with a host name, which istiod resolves by itself. At most 64.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	HeldBefore []string `json:"heldBefore,omitempty"`
}

// ClaimedRoot is the root that a member belongs to.
type ClaimedRoot struct {
	// fingerprints are the SHA-256 fingerprints (hex) of the root certificates. Empty: the member belongs to no root.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1024
	Fingerprints []string `json:"fingerprints,omitempty"`
}

// MemberTrustStatus is the state of the member's certificates.
type MemberTrustStatus struct {
	// claimedRoot is the root that the member belongs to. It is recorded in the claim, the ConfigMap `meshfleet-member`. If the
	// claim has no root, it is the root of the `cacerts` that the operator created. Absent: the claim has not been read yet.
	// +optional
	ClaimedRoot *ClaimedRoot `json:"claimedRoot,omitempty"`
	// rootFingerprints are the SHA-256 fingerprints (hex) of the roots that istiod publishes to workloads.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1024
	RootFingerprints []string `json:"rootFingerprints,omitempty"`
	// intermediateNotAfter is the expiry of the newest intermediate that cert-manager has issued for the member.
	// +optional
	IntermediateNotAfter *metav1.Time `json:"intermediateNotAfter,omitempty"`
	// intermediateInForceNotAfter is the expiry of the intermediate with which istiod signs certificates of workloads, as its pods
	// report it. If they differ, it is the earliest one. It is earlier than intermediateNotAfter until every istiod has taken over a
	// renewed intermediate. Empty: no istiod has reported it yet.
	// +optional
	IntermediateInForceNotAfter *metav1.Time `json:"intermediateInForceNotAfter,omitempty"`
}
