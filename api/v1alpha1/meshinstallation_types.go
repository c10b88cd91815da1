package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MeshInstallation is one service mesh across one or more Kubernetes clusters.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mesh,categories=meshfleet
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.version`
// +kubebuilder:printcolumn:name="Running",type=string,JSONPath=`.status.effectiveVersion`
// +kubebuilder:printcolumn:name="Members",type=integer,JSONPath=`.status.members.total`
// +kubebuilder:printcolumn:name="Ready-Members",type=integer,JSONPath=`.status.members.ready`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Deletion-Protection",type=string,priority=1,JSONPath=`.spec.deletionProtection`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40",message="metadata.name: at most 40 characters, because the names of Secrets and Certificates are derived from it"
type MeshInstallation struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the desired state of the mesh.
	// +required
	Spec MeshInstallationSpec `json:"spec"`
	// status is the observed state of the mesh.
	// +optional
	Status MeshInstallationStatus `json:"status,omitzero"`
}

// MeshInstallationList is a list of MeshInstallations.
//
// +kubebuilder:object:root=true
type MeshInstallationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MeshInstallation `json:"items"`
}

// MeshInstallationSpec is the desired state of a mesh. The operator never changes it.
//
// +kubebuilder:validation:XValidation:rule="has(self.meshID) == has(oldSelf.meshID) && (!has(self.meshID) || self.meshID == oldSelf.meshID)",message="spec.meshID is immutable, because running proxies use it; create a new MeshInstallation for another mesh"
// +kubebuilder:validation:XValidation:rule="size(self.members) < 2 || self.members.all(m, !has(m.clusterRef.local) || has(m.apiServer))",message="spec.members[].apiServer: required for a member with clusterRef.local when there are other members, because they cannot reach the in-cluster address"
type MeshInstallationSpec struct {
	// version is the exact Istio release that every member runs, for example `1.29.1`. Aliases such as `1.29` or
	// `latest` are not accepted.
	// +required
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]+\\\\.[0-9]+\\\\.[0-9]+$')",message="spec.version: write an exact Istio release without a prefix, for example 1.29.1"
	Version string `json:"version"`

	// charts selects where the charts of spec.version are. It is needed for a release whose charts are not in the operator's image, such
	// as a later patch. The charts are fetched once, and kept on the hub. Default: the operator's image, and for releases that it does
	// not have, the operator's flag `--charts`.
	// +optional
	Charts *Charts `json:"charts,omitempty"`

	// meshID is the name of the mesh in proxies and telemetry. It cannot be changed. Default: the name of this object.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="spec.meshID: use lower-case letters, digits, '-' and '.', starting and ending with a letter or digit"
	MeshID string `json:"meshID,omitempty"`

	// trustDomain is the trust domain of every workload identity (`spiffe://<trustDomain>/ns/…/sa/…`). It cannot be changed.
	// Default: `cluster.local`.
	// +optional
	// +kubebuilder:default="cluster.local"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9._]*[a-z0-9])?$')",message="spec.trustDomain: use lower-case letters, digits, '-', '_' and '.'"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.trustDomain is immutable: every workload identity contains it"
	TrustDomain string `json:"trustDomain,omitempty"`

	// controlPlaneNamespace is the namespace of the Istio control plane in every member. It cannot be changed. Default:
	// `istio-system`.
	// +optional
	// +kubebuilder:default="istio-system"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="spec.controlPlaneNamespace: must be a DNS label"
	// +kubebuilder:validation:XValidation:rule="!(self in ['default','kube-system','kube-public','kube-node-lease'])",message="spec.controlPlaneNamespace: must be a dedicated namespace, not a system namespace"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.controlPlaneNamespace is immutable; create a new MeshInstallation and move the members to it"
	ControlPlaneNamespace string `json:"controlPlaneNamespace,omitempty"`

	// members are the clusters of the mesh. The name of a member is its Istio cluster ID.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	Members []Member `json:"members"`

	// trust configures the source of the mesh's root certificate and the lifetime of the members' intermediate certificates.
	// Default: a self-signed root for ten years, intermediates for 90 days.
	// +optional
	// +kubebuilder:default={}
	Trust Trust `json:"trust,omitzero"`

	// controlPlane configures istiod in every member.
	// +optional
	ControlPlane ControlPlane `json:"controlPlane,omitzero"`

	// eastWestGateway configures the gateway through which members on other networks reach the services of a member.
	// +optional
	// +kubebuilder:default={}
	EastWestGateway EastWestGateway `json:"eastWestGateway,omitzero"`

	// discovery configures how the control plane of a member reads the API servers of its peers.
	// +optional
	// +kubebuilder:default={}
	Discovery Discovery `json:"discovery,omitzero"`

	// dataPlane configures which proxies namespaces get, and how an upgrade restarts workloads.
	// +optional
	// +kubebuilder:default={}
	DataPlane DataPlane `json:"dataPlane,omitzero"`

	// upgrade configures how a change of the version or of control plane values is rolled out to the members: as a new revision
	// beside the old one, wave by wave. A control plane that serves is never changed in place.
	// +optional
	// +kubebuilder:default={}
	Upgrade Upgrade `json:"upgrade,omitzero"`

	// deletionPolicy selects what the removal of a member waits for. A member is removed when it is no longer in spec.members,
	// or when the MeshInstallation is deleted. `WaitForMembers`: the removal waits until the member is reachable and no pod in
	// it has a proxy of the mesh. Until then the member serves as before. `Orphan`: the same, but the removal does not wait for
	// an unreachable member: the installed objects stay in its cluster. `Force`: the removal does not wait for pods. Their
	// proxies lose their control plane. Default: `WaitForMembers`.
	// +optional
	// +kubebuilder:default=WaitForMembers
	// +kubebuilder:validation:Enum=WaitForMembers;Orphan;Force
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// deletionProtection selects whether admission refuses to delete this MeshInstallation while the mesh is in use. `Enabled`: a
	// deletion is refused while pods with a proxy of the mesh run in any member, as they were last counted, and while it is
	// unknown for any member whether such pods run, for example because it does not answer. `Disabled`: this MeshInstallation can
	// be deleted at any time. What happens then is selected by deletionPolicy. Default: `Enabled`.
	// +optional
	// +kubebuilder:default=Enabled
	// +kubebuilder:validation:Enum=Enabled;Disabled
	DeletionProtection DeletionProtection `json:"deletionProtection,omitempty"`
}

// DeletionPolicy selects what the removal of a member waits for.
type DeletionPolicy string

const (
	// DeletionPolicyWaitForMembers waits until the member is reachable and runs no proxy of the mesh.
	DeletionPolicyWaitForMembers DeletionPolicy = "WaitForMembers"
	// DeletionPolicyOrphan leaves the installed objects in an unreachable member.
	DeletionPolicyOrphan DeletionPolicy = "Orphan"
	// DeletionPolicyForce removes the mesh from a member even if proxies run there.
	DeletionPolicyForce DeletionPolicy = "Force"
)

// Member is one cluster of the mesh.
//
// +kubebuilder:validation:XValidation:rule="(has(self.network) ? self.network : self.name) == (has(oldSelf.network) ? oldSelf.network : oldSelf.name)",message="spec.members[].network is immutable, because running proxies use it; remove the member and add it again"
// +kubebuilder:validation:XValidation:rule="!has(self.apiServerCA) || has(self.apiServer)",message="spec.members[].apiServerCA: requires apiServer; without it, the CA of the kubeconfig is used"
type Member struct {
	// name is the name of the member and its Istio cluster ID.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="spec.members[].name: must be a DNS label of at most 40 characters"
	Name string `json:"name"`

	// network is the Istio network of the member's pods. Members with the same network connect pod to pod. Other members
	// connect through the east-west gateways. Default: the name of the member.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="spec.members[].network: must be a DNS label"
	Network string `json:"network,omitempty"`

	// labels are copied to the MeshMember. Selectors can select the member by them.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.contains('meshfleet.io/'))",message="spec.members[].labels: keys with the domain meshfleet.io are reserved for the operator"
	Labels map[string]string `json:"labels,omitempty"`

	// clusterRef configures how the operator connects to the cluster.
	// +required
	ClusterRef ClusterRef `json:"clusterRef"`

	// apiServer is the URL at which the control planes of the other members reach the API server of this member, for example
	// `https://203.0.113.7:6443`. Its certificate must be valid for that host, and signed by the CA of the connection in
	// clusterRef or by apiServerCA. Required if the kubeconfig has a proxy-url that the other members cannot do without. Default:
	// the server of the kubeconfig, with its tls-server-name.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() == 'https' && url(self).getHost() != ''",message="spec.members[].apiServer: must be an https URL with a host"
	APIServer string `json:"apiServer,omitempty"`

	// apiServerCA are the certificates, PEM, of the authorities that sign the certificate of apiServer. Set it if another
	// authority signs it than the one of the connection in clusterRef, for example if the kubeconfig leads through a management
	// proxy. The ConfigMap `kube-root-ca.crt` in every namespace of the member contains the authorities of the cluster. Default:
	// the CA of the connection in clusterRef.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	APIServerCA string `json:"apiServerCA,omitempty"`

	// hubSecrets selects whether the other members may read the Secrets of this member if it is the hub, the cluster where the
	// operator runs. These Secrets include the private key of the root, all kubeconfigs and all intermediates. The istiod of a
	// peer reads a cluster with a token that can list the Secrets of all namespaces (Istio 1.28 and 1.29). `Protect`: the hub
	// is refused as a member when there are other members. `ReadableByPeers`: the hub is accepted. Anyone who can read Secrets
	// in the control plane namespace of any member can then take over the mesh and all its clusters. The field has no effect on
	// a member that is not the hub. Default: `Protect`.
	// +optional
	// +kubebuilder:validation:Enum=Protect;ReadableByPeers
	HubSecrets HubSecrets `json:"hubSecrets,omitempty"`

	// values are values of the istiod chart for this member only. They override spec.controlPlane.values. The keys that the
	// operator sets (revision, meshID, cluster name, network, trust domain) are refused.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Values *apiextensionsv1.JSON `json:"values,omitempty"`

	// eastWestGateway are settings of the east-west gateway for this member only, for example the annotations that the load
	// balancer of its cloud needs. They override spec.eastWestGateway.
	// +optional
	EastWestGateway *MemberGateway `json:"eastWestGateway,omitempty"`

	// hold keeps the member at its revision, which is its version, its values and the settings of its east-west gateway, while
	// the other members are upgraded. Everything else of the spec applies to the member, and its certificates and tokens are
	// renewed. When the hold is removed, the member is upgraded to the target of the spec. An upgrade to a release that is more
	// than one minor version from that of a held member does not start. Absent: the member is upgraded with the others.
	// +optional
	Hold *Hold `json:"hold,omitempty"`
}

// HubSecrets selects whether peers may read the Secrets of the hub when the hub is a member.
type HubSecrets string

const (
	// HubSecretsProtect refuses the hub as a member when there are other members.
	HubSecretsProtect HubSecrets = "Protect"
	// HubSecretsReadableByPeers accepts that peers can read all Secrets of the hub.
	HubSecretsReadableByPeers HubSecrets = "ReadableByPeers"
)

// ClusterRef identifies one cluster. Exactly one field is set.
//
// +kubebuilder:validation:XValidation:rule="[has(self.kubeconfigSecret), has(self.local)].filter(x, x).size() == 1",message="spec.members[].clusterRef: set exactly one of kubeconfigSecret and local"
type ClusterRef struct {
	// kubeconfigSecret is a Secret in the namespace of this object that contains a kubeconfig. config/member-rbac has the
	// permissions that the kubeconfig needs.
	// +optional
	KubeconfigSecret *SecretKeyRef `json:"kubeconfigSecret,omitempty"`
	// local is the hub: the cluster where the operator runs.
	// +optional
	Local *LocalCluster `json:"local,omitempty"`
}

// LocalCluster is the hub: the cluster where the operator runs.
type LocalCluster struct{}

// SecretKeyRef identifies one key of a Secret in the same namespace.
type SecretKeyRef struct {
	// name is the name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// key is the key in the Secret. Default: `value`, as in the Secrets of Cluster API.
	// +optional
	// +kubebuilder:default=value
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// Trust configures the certificates of the mesh. No certificate is valid for longer than the root. A self-signed root must be
// valid for at least twice as long as an intermediate. This leaves the lifetime of one intermediate to replace the root.
//
// +kubebuilder:validation:XValidation:rule="self.?root.?issuerRef.hasValue() || duration(self.?root.?selfSigned.?duration.orValue('87600h')).getSeconds() >= 2 * duration(self.?intermediate.?duration.orValue('2160h')).getSeconds()",message="spec.trust.root.selfSigned.duration: at least twice spec.trust.intermediate.duration, because no certificate is valid for longer than the root; increase the duration of the root or decrease that of the intermediates"
type Trust struct {
	// root is the source of the root certificate. Default: self-signed.
	// +optional
	// +kubebuilder:default={}
	Root TrustRoot `json:"root,omitzero"`
	// intermediate configures the signing certificate of each member.
	// +optional
	// +kubebuilder:default={}
	Intermediate Intermediate `json:"intermediate,omitzero"`
}

// TrustRoot is the source of the root certificate. At most one field is set. The default is an empty object, because the API
// server skips transition rules of a field that is absent before or after an update.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.selfSigned) && has(self.issuerRef))",message="spec.trust.root: set at most one of selfSigned and issuerRef"
// +kubebuilder:validation:XValidation:rule="has(self.issuerRef) == has(oldSelf.issuerRef) && (!has(self.issuerRef) || self.issuerRef == oldSelf.issuerRef)",message="spec.trust.root.issuerRef is immutable: another issuer has another root, and workloads of two roots do not accept each other"
// +kubebuilder:validation:XValidation:rule="has(self.selfSigned) == has(oldSelf.selfSigned) && (!has(self.selfSigned) || self.selfSigned == oldSelf.selfSigned)",message="spec.trust.root.selfSigned is immutable: a new root requires a rotation in which every member trusts both roots"
type TrustRoot struct {
	// selfSigned creates a root certificate on the hub. Its private key never leaves the hub.
	// +optional
	SelfSigned *SelfSignedRoot `json:"selfSigned,omitempty"`
	// issuerRef is a cert-manager issuer that signs the members' intermediates. It must be able to sign CA
	// certificates and must report its root (`ca.crt`).
	// +optional
	IssuerRef *IssuerRef `json:"issuerRef,omitempty"`
}

// SelfSignedRoot configures a root certificate that cert-manager creates on the hub.
//
// +kubebuilder:validation:XValidation:rule="!has(self.size) || (self.algorithm == 'ECDSA' ? self.size in [256, 384, 521] : self.size in [2048, 3072, 4096])",message="spec.trust.root.selfSigned.size: 256, 384 or 521 for ECDSA; 2048, 3072 or 4096 for RSA"
type SelfSignedRoot struct {
	// duration is the lifetime of the root. At least 720h, and at least twice spec.trust.intermediate.duration. The root is not
	// renewed during its lifetime. The mesh ends when its root expires. Default: 87600h (ten years).
	// +optional
	// +kubebuilder:default="87600h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('720h')",message="spec.trust.root.selfSigned.duration: at least 720h"
	Duration *metav1.Duration `json:"duration,omitempty"`
	// algorithm is the algorithm of the private key. Default: ECDSA.
	// +optional
	// +kubebuilder:default=ECDSA
	// +kubebuilder:validation:Enum=ECDSA;RSA
	Algorithm KeyAlgorithm `json:"algorithm,omitempty"`
	// size is the size of the private key in bits. Default: 256 for ECDSA, 4096 for RSA.
	// +optional
	Size int32 `json:"size,omitempty"`
}

// KeyAlgorithm is the algorithm of a private key.
type KeyAlgorithm string

const (
	// KeyAlgorithmECDSA is the algorithm ECDSA.
	KeyAlgorithmECDSA KeyAlgorithm = "ECDSA"
	// KeyAlgorithmRSA is the algorithm RSA.
	KeyAlgorithmRSA KeyAlgorithm = "RSA"
)

// IssuerRef identifies a cert-manager issuer.
type IssuerRef struct {
	// name is the name of the issuer.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// kind is the kind of the issuer. An `Issuer` must be in the namespace of this object. Default: `Issuer`.
	// +optional
	// +kubebuilder:default=Issuer
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`
	// group is the API group of the issuer. Default: `cert-manager.io`.
	// +optional
	// +kubebuilder:default="cert-manager.io"
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
}

// Intermediate configures the signing certificate of each member's control plane.
//
// +kubebuilder:validation:XValidation:rule="!has(self.duration) || !has(self.renewBefore) || duration(self.renewBefore) < duration(self.duration)",message="spec.trust.intermediate.renewBefore: must be shorter than duration; without a value it is 720h, so set both for a duration of 720h or less"
type Intermediate struct {
	// duration is the lifetime of an intermediate. At least 72h, and at most half of spec.trust.root.selfSigned.duration.
	// With 720h or less, set renewBefore too. Default: 2160h (90 days).
	// +optional
	// +kubebuilder:default="2160h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('72h')",message="spec.trust.intermediate.duration: at least 72h, because workload certificates are valid for 24h, and none may be valid for longer than the intermediate"
	Duration *metav1.Duration `json:"duration,omitempty"`
	// renewBefore is how long before its expiry an intermediate is renewed. At least 48h. Default: 720h (30 days).
	// +optional
	// +kubebuilder:default="720h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('48h')",message="spec.trust.intermediate.renewBefore: at least 48h, twice the lifetime of a workload certificate"
	RenewBefore *metav1.Duration `json:"renewBefore,omitempty"`
}

// ControlPlane configures istiod in every member.
type ControlPlane struct {
	// values are values of the istiod chart for all members. The keys that the operator sets are refused.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Values *apiextensionsv1.JSON `json:"values,omitempty"`
}

// MeshInstallationStatus is the observed state of a mesh. The details of each member are in its MeshMember.
type MeshInstallationStatus struct {
	// observedGeneration is the generation of the spec that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// operatorVersion is the version of the operator that wrote this status, `devel` if it is no release.
	// +optional
	OperatorVersion string `json:"operatorVersion,omitempty"`
	// conditions are the conditions of the mesh. docs/conditions.md describes them.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=32
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// effectiveVersion is the Istio release that every member runs that is not held. New members join at it. While these members
	// run different releases, because an upgrade is running or has stopped, it is the release before the upgrade. `revisions`
	// contains the number of members of each release.
	// +optional
	EffectiveVersion string `json:"effectiveVersion,omitempty"`
	// revisions are the revisions that namespaces get, each with the number of members. A member is counted after its control
	// plane has served for the first time.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=1000
	Revisions []RevisionMembers `json:"revisions,omitempty"`
	// revision is the control plane revision at which new members join. It is set when the first member serves it.
	// +optional
	Revision string `json:"revision,omitempty"`
	// members are the numbers of members by state.
	// +optional
	Members MemberCounts `json:"members,omitzero"`
	// trust is the state of the mesh's root of trust.
	// +optional
	Trust TrustStatus `json:"trust,omitzero"`
	// upgrade is the name of the latest MeshUpgrade.
	// +optional
	Upgrade string `json:"upgrade,omitempty"`
	// hash identifies the version and the values that the mesh runs.
	// +optional
	Hash string `json:"hash,omitempty"`
	// charts are the newest 16 charts that were fetched for this mesh, oldest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Charts []PinnedCharts `json:"charts,omitempty"`
}

// RevisionMembers is a revision with the number of members that run it.
type RevisionMembers struct {
	// name is the name of the revision.
	Name string `json:"name"`
	// version is the Istio release.
	Version string `json:"version"`
	// members is the number of members.
	Members int32 `json:"members"`
}

// MemberCounts contains the numbers of members by state.
type MemberCounts struct {
	// total is the number of members.
	Total int32 `json:"total"`
	// ready is the number of members that are ready.
	Ready int32 `json:"ready"`
	// unreachable is the number of members whose API server does not answer.
	Unreachable int32 `json:"unreachable"`
	// retiring is the number of members that keep an old control plane because something still uses it.
	// +optional
	Retiring int32 `json:"retiring,omitempty"`
	// leaving is the number of members whose removal is not complete. They are not included in total.
	// +optional
	Leaving int32 `json:"leaving,omitempty"`
	// held are the members with a hold in the spec. They keep their revisions while the others are upgraded.
	// +optional
	Held Sample `json:"held,omitzero"`
}

// TrustStatus is the state of the mesh's root of trust.
type TrustStatus struct {
	// pinnedRoot are the SHA-256 fingerprints (hex) of the mesh's root certificates. They are set once. Another root is
	// refused, because workloads of two roots do not accept each other. Empty: no root is known yet.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1024
	PinnedRoot []string `json:"pinnedRoot,omitempty"`
	// rootFingerprints are the SHA-256 fingerprints (hex) of the root certificates that members trust.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1024
	RootFingerprints []string `json:"rootFingerprints,omitempty"`
	// notAfter is the expiry of the pinned root certificate. With several certificates, it is the earliest expiry.
	// +optional
	NotAfter *metav1.Time `json:"notAfter,omitempty"`
}

// Discovery configures how the control plane of a member reads the API servers of its peers.
type Discovery struct {
	// tokenDuration is the lifetime of the tokens with which the istiod of a member reads its peers. The API server of a member
	// may grant less. A token is renewed after half of its lifetime, and stays valid until it expires. At least 10m, the
	// minimum of Kubernetes, and at most 8760h. Default: `168h`.
	// +optional
	// +kubebuilder:default="168h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10m') && duration(self) <= duration('8760h')",message="spec.discovery.tokenDuration: write a duration from 10m to 8760h"
	TokenDuration *metav1.Duration `json:"tokenDuration,omitempty"`
}
