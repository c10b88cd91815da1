package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SecretTypeGate is the type of Secrets whose contents gates may send to the servers that they ask. Who may write
// MeshInstallations cannot have any other Secret sent anywhere.
const SecretTypeGate = "mesh.meshfleet.io/gate"

// Gate configures one question that must be answered yes before an upgrade goes on: a built-in one by its name, or one
// of your own by any other name and exactly one of prometheus and webhook.
type Gate struct {
	// name of the gate. Built in are `ControlPlaneReady`, `PeersSynced`, `EndpointsComplete`, `ConfigAccepted`,
	// `ConfigValid`, `Injection`, `ConfigDiff`, `ProxiesSynced` and `GatewaysProgrammed`; the name of your own is a DNS label
	// that starts with a letter.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	Name string `json:"name"`
	// dryRun asks the gate and records its answers, but they never stop or fail anything. Default: false.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`
	// prometheus measures with a query, while workloads run on the new revision: after they have been moved, and while
	// the member soaks.
	// +optional
	Prometheus *PrometheusGate `json:"prometheus,omitempty"`
	// webhook asks a server of yours: before traffic, after workloads have been moved, and while the member soaks.
	// +optional
	Webhook *WebhookGate `json:"webhook,omitempty"`
	// configDiff configures the built-in gate `ConfigDiff`.
	// +optional
	ConfigDiff *ConfigDiffGate `json:"configDiff,omitempty"`
}

// ConfigDiffGate configures the comparison of what the old and the new istiod send to proxies.
type ConfigDiffGate struct {
	// failOn are the classes of differences that fail the gate. The others are only reported; with dryRun, all are.
	// Default: all but `Changed` and `Added`.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=13
	FailOn []ConfigDiffClass `json:"failOn,omitempty"`
	// sample is how many proxies of a member stand for all, from 1 to 100: as different ones as there are. Default: 10.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Sample int32 `json:"sample,omitempty"`
}

// ConfigDiffClass says what a difference means for those who use a proxy. docs/gates.md explains each.
//
// +kubebuilder:validation:Enum=TLSWeakened;AuthorizationChanged;ListenersLost;FiltersLost;FiltersReordered;RoutesLost;RoutesReordered;RoutesChanged;ClustersLost;EndpointsLost;IdentitiesLost;Changed;Added
type ConfigDiffClass string

// GateServer is a server that a gate asks. The operator asks it, from the hub.
//
// +kubebuilder:validation:XValidation:rule="!has(self.secretRef) || self.url.startsWith('https://')",message="spec.upgrade.gates[]: secretRef needs a url with https, because the token must not be sent unencrypted"
type GateServer struct {
	// url of the server, with http or https, and without a user name or a password.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != '' && !self.contains('@')",message="spec.upgrade.gates[].url: an http or https URL without a user name"
	URL string `json:"url"`
	// secretRef is a Secret of the type `mesh.meshfleet.io/gate` in this object's namespace. Its `token` is sent as a
	// bearer token; its `ca.crt` is trusted instead of the system's authorities. Either may be missing.
	// +optional
	SecretRef *GateSecretRef `json:"secretRef,omitempty"`
	// timeout of one request, from 1s to 30s. No answer in time is an error. Default: 5s.
	// +optional
	// +kubebuilder:default="5s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('30s')",message="spec.upgrade.gates[].timeout: from 1s to 30s"
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// GateSecretRef names a Secret in the same namespace.
type GateSecretRef struct {
	// name is the Secret's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// Number is a number as text, such as `0.01`, `-3` or `1e6`.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:XValidation:rule="self.matches('^[-+]?[0-9]+([.][0-9]+)?([eE][-+]?[0-9]{1,2})?$')",message="spec.upgrade.gates[].prometheus: bounds are numbers, such as 0.01, -3 or 1e6"
type Number string

// PrometheusGate measures with a query and holds the result against bounds. It passes when count measurements were
// taken and no more than failureLimit of them were out of bounds. A result without a number never passes.
//
// +kubebuilder:validation:XValidation:rule="has(self.min) || has(self.max)",message="spec.upgrade.gates[].prometheus: set min, max or both"
// +kubebuilder:validation:XValidation:rule="!has(self.min) || !has(self.max) || double(self.min) <= double(self.max)",message="spec.upgrade.gates[].prometheus: min must not be greater than max"
// +kubebuilder:validation:XValidation:rule="!has(self.compare) || ['$(revision)', '$(version)', '$(pods)'].exists(p, self.query.contains(p))",message="spec.upgrade.gates[].prometheus.compare: the query must distinguish the revisions by $(revision), $(version) or $(pods)"
type PrometheusGate struct {
	GateServer `json:",inline"`
	// query is a PromQL expression that gives a scalar or an instant vector; each series of a vector must be within the
	// bounds. These are replaced in it: `$(member)` by the member's name, `$(namespace)` by istiod's namespace there,
	// `$(from)` and `$(to)` by the old and the new revision, and by what is measured (the new one; with compare, each in
	// turn) `$(revision)`, its Istio release `$(version)`, and `$(pods)`, a regular expression of the names of the
	// member's pods that have its proxy. A query without `$(member)` and `$(pods)` measures the whole fleet.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.findAll('[$][(][^)]*[)]').all(p, p in ['$(member)', '$(namespace)', '$(from)', '$(to)', '$(revision)', '$(version)', '$(pods)'])",message="spec.upgrade.gates[].prometheus.query: $(...) must be member, namespace, from, to, revision, version or pods"
	Query string `json:"query"`
	// compare asks for the old revision as well, at the same time, and holds the new one's number against it: `Ratio` is
	// new by old, `Difference` new minus old. The query must give one series. While it has not been measured often
	// enough, no more workloads are moved once some are and some are not.
	// +optional
	Compare Comparison `json:"compare,omitempty"`
	// min is the lowest number that is good.
	// +optional
	Min Number `json:"min,omitempty"`
	// max is the highest number that is good.
	// +optional
	Max Number `json:"max,omitempty"`
	// samples says when there is enough to measure.
	// +optional
	Samples *GateSamples `json:"samples,omitempty"`
	// count is how many measurements it takes to pass. Default: 3.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Count int32 `json:"count,omitempty"`
	// interval is the time between measurements, and before the first one; at least 10s. Ranges in the query should not
	// be longer, or they reach back to before the change. Default: 1m.
	// +optional
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s')",message="spec.upgrade.gates[].prometheus.interval: at least 10s"
	Interval *metav1.Duration `json:"interval,omitempty"`
	// failureLimit is how many measurements may be out of bounds. One more fails the member. Default: 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	FailureLimit int32 `json:"failureLimit,omitempty"`
}

// GateSamples says when there is enough to measure: fewer make a measurement inconclusive.
type GateSamples struct {
	// query gives the number of samples, such as requests. The same is replaced in it as in the gate's query. With
	// compare, both revisions must have enough.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.findAll('[$][(][^)]*[)]').all(p, p in ['$(member)', '$(namespace)', '$(from)', '$(to)', '$(revision)', '$(version)', '$(pods)'])",message="spec.upgrade.gates[].prometheus.samples.query: $(...) must be member, namespace, from, to, revision, version or pods"
	Query string `json:"query"`
	// min is the least number of samples.
	// +required
	Min Number `json:"min"`
}

// Comparison says how the new revision is held against the old one.
//
// +kubebuilder:validation:Enum=Ratio;Difference
type Comparison string

const (
	// ComparisonRatio divides the new by the old.
	ComparisonRatio Comparison = "Ratio"
	// ComparisonDifference subtracts the old from the new.
	ComparisonDifference Comparison = "Difference"
)

// WebhookGate asks a server by POST. docs/gates.md has the contract.
type WebhookGate struct {
	GateServer `json:",inline"`
	// retries is how often a request is repeated that was not answered, or with 429 or a 5xx. All requests of one
	// question have 30s together. Default: 2.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=5
	Retries *int32 `json:"retries,omitempty"`
	// interval is the time between questions, at least 5s. Unless the answer was Pass, the next one comes after 5s.
	// Default: 30s.
	// +optional
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('5s')",message="spec.upgrade.gates[].webhook.interval: at least 5s"
	Interval *metav1.Duration `json:"interval,omitempty"`
}

// GateMeasurements counts what a gate has measured in a member since its workloads were moved.
type GateMeasurements struct {
	// taken is the number of measurements that gave a number.
	// +optional
	Taken int32 `json:"taken,omitempty"`
	// bad is how many of them were out of bounds.
	// +optional
	Bad int32 `json:"bad,omitempty"`
}
