package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MeshInstallation is one service mesh over one or more Kubernetes clusters.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mesh,categories=meshfleet
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.version`
// +kubebuilder:printcolumn:name="Running",type=string,JSONPath=`.status.effectiveVersion`
// +kubebuilder:printcolumn:name="Members",type=integer,JSONPath=`.status.members.total`
// +kubebuilder:printcolumn:name="Ready-Members",type=integer,JSONPath=`.status.members.ready`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40",message="metadata.name: at most 40 characters, because the names of Secrets and Certificates are derived from it"
type MeshInstallation struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the mesh that you want.
	// +required
	Spec MeshInstallationSpec `json:"spec"`
	// status is what the operator has found and done.
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

// MeshInstallationSpec is the desired mesh. The operator never writes it.
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

	// meshID names the mesh in proxies and telemetry. Default: the name of this object. It cannot be changed.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="spec.meshID: use lower-case letters, digits, '-' and '.', starting and ending with a letter or digit"
	MeshID string `json:"meshID,omitempty"`

	// trustDomain is the trust domain of every workload identity (`spiffe://<trustDomain>/ns/…/sa/…`).
	// Default: `cluster.local`. It cannot be changed.
	// +optional
	// +kubebuilder:default="cluster.local"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9._]*[a-z0-9])?$')",message="spec.trustDomain: use lower-case letters, digits, '-', '_' and '.'"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.trustDomain is immutable: every workload identity contains it"
	TrustDomain string `json:"trustDomain,omitempty"`

	// controlPlaneNamespace is the namespace of the Istio control plane in every member. Default: `istio-system`.
	// It cannot be changed.
	// +optional
	// +kubebuilder:default="istio-system"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="spec.controlPlaneNamespace: must be a DNS label"
	// +kubebuilder:validation:XValidation:rule="!(self in ['default','kube-system','kube-public','kube-node-lease'])",message="spec.controlPlaneNamespace: must be a dedicated namespace, not a system namespace"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.controlPlaneNamespace is immutable; create a new MeshInstallation and move the members to it"
	ControlPlaneNamespace string `json:"controlPlaneNamespace,omitempty"`

	// members are the clusters of the mesh. A member's name is its Istio cluster ID.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	Members []Member `json:"members"`

	// trust says where the mesh's root certificate comes from and how long the members' intermediates live.
	// Default: a self-signed root for ten years, intermediates for 90 days.
	// +optional
	// +kubebuilder:default={}
	Trust Trust `json:"trust,omitzero"`

	// controlPlane configures istiod in every member.
	// +optional
	ControlPlane ControlPlane `json:"controlPlane,omitzero"`

	// eastWestGateway configures the gateway through which peers on other networks reach a member's services.
	// +optional
	// +kubebuilder:default={}
	EastWestGateway EastWestGateway `json:"eastWestGateway,omitzero"`

	// discovery configures how members read each other.
	// +optional
	// +kubebuilder:default={}
	Discovery Discovery `json:"discovery,omitzero"`

	// dataPlane configures how namespaces choose their proxies.
	// +optional
	// +kubebuilder:default={}
	DataPlane DataPlane `json:"dataPlane,omitzero"`

	// upgrade says how a change of the version or of control plane values reaches the members: as a new revision beside
	// the old one, wave by wave. A control plane that serves is never changed in place.
	// +optional
	// +kubebuilder:default={}
	Upgrade Upgrade `json:"upgrade,omitzero"`

	// deletionPolicy says when a member is taken out that is no longer in spec.members, or whose mesh is being deleted.
	// `WaitForMembers` waits until no pod with a proxy of the mesh runs in it, and until it can be reached; meanwhile it stays
	// as it is and goes on to serve. `Orphan` does the same, but lets a member that cannot be reached go with what is installed
	// there. `Force` does not wait for pods: their proxies lose their control plane. Default: `WaitForMembers`.
	// +optional
	// +kubebuilder:default=WaitForMembers
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// DeletionPolicy says what the removal of a member waits for.
//
// +kubebuilder:validation:Enum=WaitForMembers;Orphan;Force
type DeletionPolicy string

const (
	// DeletionPolicyWaitForMembers waits until no proxy runs in the member, and until the member answers.
	DeletionPolicyWaitForMembers DeletionPolicy = "WaitForMembers"
	// DeletionPolicyOrphan leaves what is installed in an unreachable member.
	DeletionPolicyOrphan DeletionPolicy = "Orphan"
	// DeletionPolicyForce takes the mesh out of a member although proxies run there.
	DeletionPolicyForce DeletionPolicy = "Force"
)

// Member is one cluster of the mesh.
//
// +kubebuilder:validation:XValidation:rule="(has(self.network) ? self.network : self.name) == (has(oldSelf.network) ? oldSelf.network : oldSelf.name)",message="spec.members[].network is immutable, because running proxies use it; remove the member and add it again"
type Member struct {
	// name is the member's name and its Istio cluster ID.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="spec.members[].name: must be a DNS label of at most 40 characters"
	Name string `json:"name"`

	// network is the Istio network of the member's pods. Members with the same network reach each other's pods
	// directly; others go through the east-west gateways. Default: the member's name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="spec.members[].network: must be a DNS label"
	Network string `json:"network,omitempty"`

	// labels are copied to the MeshMember, so that members can be selected by them.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.contains('meshfleet.io/'))",message="spec.members[].labels: keys with the domain meshfleet.io are reserved for the operator"
	Labels map[string]string `json:"labels,omitempty"`

	// clusterRef says how the operator reaches the cluster.
	// +required
	ClusterRef ClusterRef `json:"clusterRef"`

	// apiServer is the URL at which the other members' control planes reach this member's API server, for example
	// `https://203.0.113.7:6443`. Its certificate must be valid for that host and signed by the CA of the
	// connection that clusterRef names. Default: the server of the kubeconfig.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() == 'https' && url(self).getHost() != ''",message="spec.members[].apiServer: must be an https URL with a host"
	APIServer string `json:"apiServer,omitempty"`

	// hubSecrets says whether the other members may read the Secrets of this one if it is the hub, where the operator runs: the
	// root's private key, all kubeconfigs and all intermediates are there. A peer's istiod reads a cluster with a token that
	// lists Secrets of all namespaces (Istio 1.28 and 1.29). `Protect` refuses the hub as a member beside others;
	// `ReadableByPeers` accepts that whoever reads Secrets in the control plane's namespace of any member owns the mesh and
	// all its clusters. It has no effect on a member that is not the hub. Default: `Protect`.
	// +optional
	HubSecrets HubSecrets `json:"hubSecrets,omitempty"`

	// values are values of the istiod chart for this member only. They win over spec.controlPlane.values. The
	// keys that the operator owns (revision, meshID, cluster name, network, trust domain) cannot be set.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Values *apiextensionsv1.JSON `json:"values,omitempty"`
}

// HubSecrets says who may read the hub's Secrets when the hub is a member.
//
// +kubebuilder:validation:Enum=Protect;ReadableByPeers
type HubSecrets string

const (
	// HubSecretsProtect refuses the hub as a member beside others.
	HubSecretsProtect HubSecrets = "Protect"
	// HubSecretsReadableByPeers accepts that peers can read all Secrets of the hub.
	HubSecretsReadableByPeers HubSecrets = "ReadableByPeers"
)

// ClusterRef names one cluster. Exactly one field is set.
//
// +kubebuilder:validation:XValidation:rule="[has(self.kubeconfigSecret), has(self.local)].filter(x, x).size() == 1",message="spec.members[].clusterRef: set exactly one of kubeconfigSecret and local"
type ClusterRef struct {
	// kubeconfigSecret is a Secret in this object's namespace that holds a kubeconfig. The permissions that it needs
	// are in config/member-rbac.
	// +optional
	KubeconfigSecret *SecretKeyRef `json:"kubeconfigSecret,omitempty"`
	// local is the hub itself: the cluster where the operator runs.
	// +optional
	Local *LocalCluster `json:"local,omitempty"`
}

// LocalCluster is the hub itself.
type LocalCluster struct{}

// SecretKeyRef names one key of a Secret in the same namespace.
type SecretKeyRef struct {
	// name is the Secret's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// key is the key within the Secret. Default: `value`, which Cluster API uses.
	// +optional
	// +kubebuilder:default=value
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// Trust configures the mesh's certificates. All of them end with the root. A root that lives twice as long as an
// intermediate leaves the life of one intermediate in which it can be replaced.
//
// +kubebuilder:validation:XValidation:rule="self.?root.?issuerRef.hasValue() || duration(self.?root.?selfSigned.?duration.orValue('87600h')).getSeconds() >= 2 * duration(self.?intermediate.?duration.orValue('2160h')).getSeconds()",message="spec.trust.root.selfSigned.duration: at least twice spec.trust.intermediate.duration, because no certificate is valid for longer than the root; increase the duration of the root or decrease that of the intermediates"
type Trust struct {
	// root is the origin of the root certificate. Default: self-signed.
	// +optional
	// +kubebuilder:default={}
	Root TrustRoot `json:"root,omitzero"`
	// intermediate configures the signing certificate of each member.
	// +optional
	// +kubebuilder:default={}
	Intermediate Intermediate `json:"intermediate,omitzero"`
}

// TrustRoot is the origin of the root certificate. At most one field is set. It is defaulted to an empty object, because
// transition rules are skipped when one side of an update lacks what they stand on.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.selfSigned) && has(self.issuerRef))",message="spec.trust.root: set at most one of selfSigned and issuerRef"
// +kubebuilder:validation:XValidation:rule="has(self.issuerRef) == has(oldSelf.issuerRef) && (!has(self.issuerRef) || self.issuerRef == oldSelf.issuerRef)",message="spec.trust.root.issuerRef is immutable: another issuer has another root, and workloads of two roots do not accept each other"
// +kubebuilder:validation:XValidation:rule="has(self.selfSigned) == has(oldSelf.selfSigned) && (!has(self.selfSigned) || self.selfSigned == oldSelf.selfSigned)",message="spec.trust.root.selfSigned is immutable: a new root requires a rotation in which every member trusts both roots"
type TrustRoot struct {
	// selfSigned makes a root on the hub. Its private key never leaves the hub.
	// +optional
	SelfSigned *SelfSignedRoot `json:"selfSigned,omitempty"`
	// issuerRef is a cert-manager issuer that signs the members' intermediates. It must be able to sign CA
	// certificates and must report its root (`ca.crt`).
	// +optional
	IssuerRef *IssuerRef `json:"issuerRef,omitempty"`
}

// SelfSignedRoot configures a root that cert-manager makes on the hub.
//
// +kubebuilder:validation:XValidation:rule="!has(self.size) || (self.algorithm == 'ECDSA' ? self.size in [256, 384, 521] : self.size in [2048, 3072, 4096])",message="spec.trust.root.selfSigned.size: 256, 384 or 521 for ECDSA; 2048, 3072 or 4096 for RSA"
type SelfSignedRoot struct {
	// duration is the life of the root. Default: 87600h (ten years); at least 720h, and twice
	// spec.trust.intermediate.duration. The mesh ends with its root: the root is not renewed while it lives.
	// +optional
	// +kubebuilder:default="87600h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('720h')",message="spec.trust.root.selfSigned.duration: at least 720h"
	Duration *metav1.Duration `json:"duration,omitempty"`
	// algorithm of the private key. Default: ECDSA.
	// +optional
	// +kubebuilder:default=ECDSA
	// +kubebuilder:validation:Enum=ECDSA;RSA
	Algorithm string `json:"algorithm,omitempty"`
	// size of the private key in bits. Default: 256 for ECDSA, 4096 for RSA.
	// +optional
	Size int `json:"size,omitempty"`
}

// IssuerRef names a cert-manager issuer.
type IssuerRef struct {
	// name of the issuer.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// kind of the issuer. Default: `Issuer`, which must be in this object's namespace.
	// +optional
	// +kubebuilder:default=Issuer
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`
	// group of the issuer. Default: `cert-manager.io`.
	// +optional
	// +kubebuilder:default="cert-manager.io"
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
}

// Intermediate configures the signing certificate that each member's control plane uses.
//
// +kubebuilder:validation:XValidation:rule="!has(self.duration) || !has(self.renewBefore) || duration(self.renewBefore) < duration(self.duration)",message="spec.trust.intermediate.renewBefore: must be shorter than duration"
type Intermediate struct {
	// duration is the life of an intermediate. Default: 2160h (90 days); at least 72h, and at most half of
	// spec.trust.root.selfSigned.duration.
	// +optional
	// +kubebuilder:default="2160h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('72h')",message="spec.trust.intermediate.duration: at least 72h, because workload certificates are valid for 24h, and none may be valid for longer than the intermediate"
	Duration *metav1.Duration `json:"duration,omitempty"`
	// renewBefore is how long before its end an intermediate is renewed. Default: 720h (30 days); at least 48h.
	// +optional
	// +kubebuilder:default="720h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('48h')",message="spec.trust.intermediate.renewBefore: at least 48h, twice the lifetime of a workload certificate"
	RenewBefore *metav1.Duration `json:"renewBefore,omitempty"`
}

// ControlPlane configures istiod in every member.
type ControlPlane struct {
	// values are values of the istiod chart. The keys that the operator owns cannot be set.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Values *apiextensionsv1.JSON `json:"values,omitempty"`
}

// MeshInstallationStatus is what the operator has found and done. Detail per member is in the MeshMembers.
type MeshInstallationStatus struct {
	// observedGeneration is the generation of the spec that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions, see the constants in this package's documentation.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// effectiveVersion is the Istio release that every member runs, and at which new members join. While members differ,
	// because an upgrade is under way or has stopped, it is the release that they come from; `revisions` says who runs what.
	// +optional
	EffectiveVersion string `json:"effectiveVersion,omitempty"`
	// revisions counts the members that serve by the revision that their namespaces get.
	// +optional
	// +listType=map
	// +listMapKey=name
	Revisions []RevisionMembers `json:"revisions,omitempty"`
	// revision is the control plane revision that new members join at. It is fixed when a member first serves it.
	// +optional
	Revision string `json:"revision,omitempty"`
	// members counts the members by state.
	// +optional
	Members MemberCounts `json:"members,omitzero"`
	// trust describes the root of trust in force.
	// +optional
	Trust TrustStatus `json:"trust,omitzero"`
	// upgrade is the name of the latest MeshUpgrade.
	// +optional
	Upgrade string `json:"upgrade,omitempty"`
	// hash identifies the version and values that the mesh runs.
	// +optional
	Hash string `json:"hash,omitempty"`
}

// RevisionMembers counts the members of a revision.
type RevisionMembers struct {
	// name of the revision.
	Name string `json:"name"`
	// version is the Istio release.
	Version string `json:"version"`
	// members is their number.
	Members int32 `json:"members"`
}

// MemberCounts counts members by state.
type MemberCounts struct {
	// total is the number of members.
	Total int32 `json:"total"`
	// ready is the number of members that are ready.
	Ready int32 `json:"ready"`
	// unreachable is the number of members that do not answer.
	Unreachable int32 `json:"unreachable"`
	// retiring is the number of members in which a control plane that the mesh no longer wants is still used.
	// +optional
	Retiring int32 `json:"retiring,omitempty"`
	// leaving is the number of former members that are not taken out yet. They are not in total.
	// +optional
	Leaving int32 `json:"leaving,omitempty"`
}

// TrustStatus describes the root of trust in force.
type TrustStatus struct {
	// pinnedRoot are the SHA-256 fingerprints (hex) of the mesh's root certificates. They are pinned once, and another root is
	// refused: workloads of two roots do not accept each other. Empty: no root is known yet.
	// +optional
	// +listType=set
	PinnedRoot []string `json:"pinnedRoot,omitempty"`
	// rootFingerprints are the SHA-256 fingerprints (hex) of the root certificates that members trust.
	// +optional
	// +listType=set
	RootFingerprints []string `json:"rootFingerprints,omitempty"`
	// notAfter is the end of the pinned root certificate's life; of several, of the first that ends.
	// +optional
	NotAfter *metav1.Time `json:"notAfter,omitempty"`
}

// Discovery configures how members read each other.
type Discovery struct {
	// tokenDuration is the life of the tokens by which istiod of a member reads its peers. A member's API server may grant less.
	// A token is renewed when half of its life is over, and stays valid until its end. At least 10m, the least that Kubernetes
	// grants. Default: `168h`.
	// +optional
	// +kubebuilder:default="168h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10m') && duration(self) <= duration('8760h')",message="spec.discovery.tokenDuration: write a duration from 10m to 8760h"
	TokenDuration *metav1.Duration `json:"tokenDuration,omitempty"`
}
