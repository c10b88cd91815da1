package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// EastWestGateway configures the east-west gateway of every member. All settings but the replicas belong to the revision: a
// change of them is an upgrade, which goes to the members in waves and can be rolled back.
type EastWestGateway struct {
	// replicas are the bounds of the gateway's autoscaler. A gateway with two replicas or more has a PodDisruptionBudget that
	// allows one pod to be evicted at a time. Default: 2 to 5 replicas.
	// +optional
	// +kubebuilder:default={}
	Replicas ReplicaRange `json:"replicas,omitzero"`
	// replacement selects how an upgrade replaces the gateway by one of another revision. `Surge`: a second gateway starts with
	// its own address and is announced to the peers. The old gateway is removed when the peers no longer use it. No request is
	// lost. `InPlace`: one Service, `istio-eastwestgateway`, is kept and the pods behind it are replaced. Use it if the address
	// is pinned. Connections that an old pod still has after five minutes of draining are cut. When this field changes, an
	// upgrade starts the other kind of gateway beside the present one and replaces it without interruption. Both need an
	// address for a short time. Default: Surge.
	// +optional
	// +kubebuilder:default=Surge
	// +kubebuilder:validation:Enum=Surge;InPlace
	Replacement GatewayReplacement `json:"replacement,omitempty"`
	// service configures the gateway's Service.
	// +optional
	Service GatewayService `json:"service,omitzero"`
	// values are values of the gateway chart. The keys that the operator sets (name, revision, networkGateway, labels of the
	// network) are refused.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Values *apiextensionsv1.JSON `json:"values,omitempty"`
}

// MemberGateway configures the east-west gateway of one member. What it does not set is as in spec.eastWestGateway.
type MemberGateway struct {
	// replicas are the bounds of the gateway's autoscaler.
	// +optional
	Replicas MemberReplicas `json:"replicas,omitzero"`
	// replacement selects how an upgrade replaces the gateway: `Surge` or `InPlace`.
	// +optional
	// +kubebuilder:validation:Enum=Surge;InPlace
	Replacement GatewayReplacement `json:"replacement,omitempty"`
	// service configures the gateway's Service. Its annotations are added to those of spec.eastWestGateway. For the same key
	// the annotation of the member is used.
	// +optional
	Service GatewayService `json:"service,omitzero"`
	// values are values of the gateway chart. They override spec.eastWestGateway.values.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Values *apiextensionsv1.JSON `json:"values,omitempty"`
}

// MemberReplicas contains the bounds of a number of replicas in one member.
//
// +kubebuilder:validation:XValidation:rule="!has(self.min) || !has(self.max) || self.min <= self.max",message="spec.members[].eastWestGateway.replicas: min must not be greater than max"
type MemberReplicas struct {
	// min is the minimum number of replicas. If it is not set, that of spec.eastWestGateway is used.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Min int32 `json:"min,omitempty"`
	// max is the maximum number of replicas. If it is not set, that of spec.eastWestGateway is used, or min if that is greater.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Max int32 `json:"max,omitempty"`
}

// GatewayReplacement selects how a gateway is replaced by one of another revision.
type GatewayReplacement string

const (
	// GatewayReplacementSurge runs one gateway per revision.
	GatewayReplacementSurge GatewayReplacement = "Surge"
	// GatewayReplacementInPlace runs one gateway and replaces its pods.
	GatewayReplacementInPlace GatewayReplacement = "InPlace"
)

// ReplicaRange contains the bounds of a number of replicas.
//
// +kubebuilder:validation:XValidation:rule="!has(self.min) || !has(self.max) || self.min <= self.max",message="spec.eastWestGateway.replicas: min (2 if it is not set) must not be greater than max (5 if it is not set)"
type ReplicaRange struct {
	// min is the minimum number of replicas. Default: 2.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Min int32 `json:"min,omitempty"`
	// max is the maximum number of replicas. Default: 5.
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Max int32 `json:"max,omitempty"`
}

// GatewayService configures the Service of an east-west gateway. Its type is LoadBalancer.
type GatewayService struct {
	// annotations are annotations of the Service, for example to select an internal load balancer.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Annotations map[string]string `json:"annotations,omitempty"`
}

// DataPlane configures which proxies namespaces get, and how an upgrade restarts workloads.
type DataPlane struct {
	// tags are revision tags that the operator creates in every member. A namespace with the label `istio.io/rev: <tag>` gets
	// proxies of the revision of the tag. The tag `default` (for `istio-injection: enabled`) always exists and is not listed
	// here. A tag that is removed from this list stays in a member until no object there names it.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Tags []RevisionTag `json:"tags,omitempty"`
	// restart configures how an upgrade restarts workloads to move them to another revision.
	// +optional
	// +kubebuilder:default={}
	Restart Restart `json:"restart,omitzero"`
}

// RevisionTag is a revision tag that the operator creates in every member.
type RevisionTag struct {
	// name is the name of the tag.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=56
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="spec.dataPlane.tags[].name: must be a DNS label that starts with a letter, so that it cannot be mistaken for a revision"
	// +kubebuilder:validation:XValidation:rule="self != 'default'",message="spec.dataPlane.tags[].name: the tag default always exists; do not list it"
	Name string `json:"name"`
}

// Restart configures how workloads are restarted to get another proxy. Only pods are restarted whose proxy has another revision
// than the tag of their namespace.
type Restart struct {
	// method selects how pods are replaced. `RolloutRestart`: the operator writes an annotation into the pod template, and the
	// update strategy of the workload replaces the pods. PodDisruptionBudgets are checked before the restart. `Evict`: the
	// operator evicts a few pods at a time and does not change the template. Use it with tools that revert changes of the
	// template. The API server enforces PodDisruptionBudgets for each pod. A Deployment does not start a new pod before an old
	// one is evicted. Default: RolloutRestart.
	// +optional
	// +kubebuilder:default=RolloutRestart
	// +kubebuilder:validation:Enum=RolloutRestart;Evict
	Method RestartMethod `json:"method,omitempty"`
	// firstNamespaces selects namespaces by their labels. Their workloads are restarted before all other workloads of the
	// member. The other workloads are restarted when the first ones have rolled out and the gates with traffic pass. A member
	// without such workloads does not wait. Default: no namespace is first.
	// +optional
	FirstNamespaces *metav1.LabelSelector `json:"firstNamespaces,omitempty"`
	// maxUnavailable is how many workloads of a member may restart at the same time, as a number or as a percentage of the
	// member's workloads (rounded down, at least one). Default: 10%.
	// +optional
	// +kubebuilder:default="10%"
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:Pattern=`^([1-9][0-9]?|100)%$`
	// +kubebuilder:validation:XValidation:rule="type(self) != int || self >= 1",message="spec.dataPlane.restart.maxUnavailable: at least 1, or a percentage from 1% to 100%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`
}

// RestartMethod selects how the pods of a workload are replaced.
type RestartMethod string

const (
	// RestartMethodRolloutRestart changes the pod template.
	RestartMethodRolloutRestart RestartMethod = "RolloutRestart"
	// RestartMethodEvict evicts pods.
	RestartMethodEvict RestartMethod = "Evict"
)
