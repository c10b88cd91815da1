package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// EastWestGateway configures the east-west gateway of every member.
type EastWestGateway struct {
	// replicas bounds the gateway's autoscaler, between 2 and 5 replicas if you do not say otherwise. A gateway of two
	// replicas or more has a PodDisruptionBudget that lets one pod go at a time.
	// +optional
	// +kubebuilder:default={}
	Replicas ReplicaRange `json:"replicas,omitzero"`
	// replacement says how an upgrade brings the gateway to another revision. `Surge` starts a second gateway with an
	// address of its own, tells the peers of it, and takes the first one away when they have dropped it: nothing is lost.
	// `InPlace` keeps one Service, `istio-eastwestgateway`, and replaces the pods behind it: for addresses that are pinned.
	// Connections that are still in use when an old pod has drained for five minutes are cut. Changing this field starts the
	// other kind of gateway beside the present one and replaces that without a gap, so both need an address for a moment.
	// Default: Surge.
	// +optional
	// +kubebuilder:default=Surge
	Replacement GatewayReplacement `json:"replacement,omitempty"`
	// service configures the gateway's Service.
	// +optional
	Service GatewayService `json:"service,omitzero"`
	// values are values of the gateway chart. The keys that the operator owns (name, revision, networkGateway,
	// labels of the network) cannot be set.
	// +optional
	// +kubebuilder:pruning:PreserveUnknownFields
	Values *apiextensionsv1.JSON `json:"values,omitempty"`
}

// GatewayReplacement says how a gateway gets to another revision.
//
// +kubebuilder:validation:Enum=Surge;InPlace
type GatewayReplacement string

const (
	// GatewayReplacementSurge runs a gateway for each revision.
	GatewayReplacementSurge GatewayReplacement = "Surge"
	// GatewayReplacementInPlace runs one gateway whose pods are replaced.
	GatewayReplacementInPlace GatewayReplacement = "InPlace"
)

// ReplicaRange bounds a number of replicas.
//
// +kubebuilder:validation:XValidation:rule="!has(self.min) || !has(self.max) || self.min <= self.max",message="spec.eastWestGateway.replicas: min (2 if it is not set) must not be greater than max (5 if it is not set)"
type ReplicaRange struct {
	// min is the least number of replicas. Default: 2.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Min int32 `json:"min,omitempty"`
	// max is the greatest number of replicas. Default: 5.
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Max int32 `json:"max,omitempty"`
}

// GatewayService configures the Service of an east-west gateway. Its type is LoadBalancer.
type GatewayService struct {
	// annotations of the Service, for example those that choose an internal load balancer.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Annotations map[string]string `json:"annotations,omitempty"`
}

// DataPlane configures how namespaces choose their proxies.
type DataPlane struct {
	// tags are revision tags that the operator keeps in every member. A namespace labelled `istio.io/rev: <tag>`
	// gets proxies of the revision that the tag points at. The tag `default` (for `istio-injection: enabled`) always
	// exists and is not listed here. A tag that is taken out stays in a member for as long as something there names it.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=56
	// +kubebuilder:validation:XValidation:rule="self.all(t, t.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$'))",message="spec.dataPlane.tags: each must be a DNS label that starts with a letter, so that it cannot be mistaken for a revision"
	// +kubebuilder:validation:XValidation:rule="!('default' in self)",message="spec.dataPlane.tags: the tag default always exists; do not list it"
	Tags []string `json:"tags,omitempty"`
	// restart says how an upgrade moves workloads to another revision.
	// +optional
	// +kubebuilder:default={}
	Restart Restart `json:"restart,omitzero"`
}

// Restart says how workloads are restarted to get another proxy. Only pods whose proxy is of another revision than
// their namespace's tag asks for are touched.
type Restart struct {
	// method says how: `RolloutRestart` writes an annotation into the pod template, and the workload's own update strategy
	// replaces the pods. PodDisruptionBudgets are asked before it begins. `Evict` leaves the template alone, for tools
	// that would take the annotation out again: pods are evicted a few at a time, and the API server enforces
	// PodDisruptionBudgets for each. A Deployment does not start a new pod before one is evicted. Default: RolloutRestart.
	// +optional
	// +kubebuilder:default=RolloutRestart
	Method RestartMethod `json:"method,omitempty"`
	// firstNamespaces selects namespaces by their labels. Their workloads are restarted before all others of the member,
	// and the rest follows only when they have rolled out and the gates that watch a revision with traffic pass. A member
	// without such workloads does not wait. Default: none goes first.
	// +optional
	FirstNamespaces *metav1.LabelSelector `json:"firstNamespaces,omitempty"`
	// maxUnavailable is how many workloads of a member may be restarting at the same time, as a number or as a
	// percentage of the member's workloads (rounded down, at least one). Default: 10%.
	// +optional
	// +kubebuilder:default="10%"
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:Pattern=`^([1-9][0-9]?|100)%$`
	// +kubebuilder:validation:XValidation:rule="type(self) != int || self >= 1",message="spec.dataPlane.restart.maxUnavailable: at least 1, or a percentage from 1% to 100%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`
}

// RestartMethod says how a workload is made to replace its pods.
//
// +kubebuilder:validation:Enum=RolloutRestart;Evict
type RestartMethod string

const (
	// RestartMethodRolloutRestart changes the pod template.
	RestartMethodRolloutRestart RestartMethod = "RolloutRestart"
	// RestartMethodEvict evicts pods.
	RestartMethodEvict RestartMethod = "Evict"
)
