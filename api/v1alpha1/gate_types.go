package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SecretTypeGate is the type of the Secrets whose contents a gate may send to its server. A user who can write
// MeshInstallations cannot send any other Secret to a server.
const SecretTypeGate = "mesh.meshfleet.io/gate"

// Gate configures one check that must pass before a member of an upgrade moves to its next stage. A built-in gate is selected
// by its name. A custom gate has any other name and exactly one of prometheus and webhook.
type Gate struct {
	// name is the name of the gate. Built-in gates are `ControlPlaneReady`, `PeersSynced`, `EndpointsComplete`,
	// `ConfigAccepted`, `ConfigValid`, `Injection`, `ConfigDiff`, `ProxiesSynced` and `GatewaysProgrammed`. The name of a
	// custom gate is a DNS label that starts with a letter.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	Name string `json:"name"`
	// dryRun evaluates the gate and records its results. The results block nothing and fail nothing. Default: false.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`
	// prometheus measures with a query while workloads run on the new revision: after they have moved, and while the member
	// soaks.
	// +optional
	Prometheus *PrometheusGate `json:"prometheus,omitempty"`
	// webhook calls a server: before the new revision gets traffic, after workloads have moved, and while the member soaks.
	// +optional
	Webhook *WebhookGate `json:"webhook,omitempty"`
	// configDiff configures the built-in gate `ConfigDiff`.
	// +optional
	ConfigDiff *ConfigDiffGate `json:"configDiff,omitempty"`
}

// ConfigDiffGate configures how the gate compares the configurations that the old and the new istiod send to proxies.
type ConfigDiffGate struct {
	// failOn are the classes of differences that fail the gate. Other classes are only reported. With dryRun, all classes are
	// only reported. Default: all classes except `Changed` and `Added`.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=13
	// +kubebuilder:validation:items:MaxLength=64
	FailOn []ConfigDiffClass `json:"failOn,omitempty"`
	// sample is the number of proxies of a member that are compared, from 1 to 100. The operator chooses proxies that differ as
	// much as possible. Default: 10.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Sample int32 `json:"sample,omitempty"`
}

// ConfigDiffClass is the effect of a difference on the users of a proxy. docs/gates.md describes each class.
type ConfigDiffClass string

// GateServer is a server that a gate calls. The operator calls it from the hub.
//
// +kubebuilder:validation:XValidation:rule="!has(self.secretRef) || self.url.startsWith('https://')",message="spec.upgrade.gates[]: secretRef needs a url with https, because the token must not be sent unencrypted"
type GateServer struct {
	// url is the URL of the server, with http or https, and without a user name or a password.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHostname() != '' && !self.contains('@')",message="spec.upgrade.gates[].url: an http or https URL without a user name"
	URL string `json:"url"`
	// secretRef is a Secret of the type `mesh.meshfleet.io/gate` in the namespace of this object. Its key `token` is sent as a
	// bearer token. Its key `ca.crt` is trusted instead of the certificate authorities of the system. Both keys are optional.
	// +optional
	SecretRef *GateSecretRef `json:"secretRef,omitempty"`
	// timeout is the timeout of one request, from 1s to 30s. A request without an answer within this time is an error. Default:
	// 5s.
	// +optional
	// +kubebuilder:default="5s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('30s')",message="spec.upgrade.gates[].timeout: from 1s to 30s"
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// GateSecretRef identifies a Secret in the same namespace.
type GateSecretRef struct {
	// name is the name of the Secret.
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

// PrometheusGate measures with a query and compares the result with bounds. It passes when it has taken the required number of
// measurements (count) and no more than failureLimit of them were out of bounds. A result without a number never passes.
//
// +kubebuilder:validation:XValidation:rule="has(self.min) || has(self.max)",message="spec.upgrade.gates[].prometheus: set min, max or both"
// +kubebuilder:validation:XValidation:rule="!has(self.min) || !has(self.max) || double(self.min) <= double(self.max)",message="spec.upgrade.gates[].prometheus: min must not be greater than max"
// +kubebuilder:validation:XValidation:rule="!has(self.compare) || ['$(revision)', '$(version)', '$(pods)'].exists(p, self.query.contains(p))",message="spec.upgrade.gates[].prometheus.compare: the query must distinguish the revisions by $(revision), $(version) or $(pods)"
type PrometheusGate struct {
	GateServer `json:",inline"`
	// query is a PromQL expression that returns a scalar or an instant vector. Each series of a vector must be within the
	// bounds. These variables are replaced: `$(member)` by the name of the member, `$(namespace)` by the namespace of its
	// istiod, `$(from)` and `$(to)` by the old and the new revision, `$(revision)` by the revision that is measured,
	// `$(version)` by its Istio release, and `$(pods)` by a regular expression of the names of the member's pods that have its
	// proxy. The new revision is measured; with compare, both are. A query without `$(member)` and `$(pods)` measures the whole
	// fleet.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.findAll('[$][(][^)]*[)]').all(p, p in ['$(member)', '$(namespace)', '$(from)', '$(to)', '$(revision)', '$(version)', '$(pods)'])",message="spec.upgrade.gates[].prometheus.query: $(...) must be member, namespace, from, to, revision, version or pods"
	Query string `json:"query"`
	// compare measures the old revision too, at the same time, and compares the new revision with it. `Ratio`: new divided by
	// old. `Difference`: new minus old. The query must return one series. When some workloads have moved and some have not, no
	// more workloads move until the required number of measurements (count) was taken. Empty: only the new revision is
	// measured.
	// +optional
	Compare Comparison `json:"compare,omitempty"`
	// min is the lowest number within the bounds.
	// +optional
	Min Number `json:"min,omitempty"`
	// max is the highest number within the bounds.
	// +optional
	Max Number `json:"max,omitempty"`
	// samples configures how many samples a measurement needs. Empty: any number.
	// +optional
	Samples *GateSamples `json:"samples,omitempty"`
	// count is the number of measurements that are needed to pass. Default: 3.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Count int32 `json:"count,omitempty"`
	// interval is the time between measurements, and before the first one. At least 10s. Ranges in the query should not be
	// longer than the interval, because they would include the time before the change. Default: 1m.
	// +optional
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s')",message="spec.upgrade.gates[].prometheus.interval: at least 10s"
	Interval *metav1.Duration `json:"interval,omitempty"`
	// failureLimit is how many measurements may be out of bounds. The member fails when there are more. Default: 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	FailureLimit int32 `json:"failureLimit,omitempty"`
}

// GateSamples configures how many samples a measurement needs. A measurement with fewer samples is inconclusive.
type GateSamples struct {
	// query returns the number of samples, such as requests. The variables of the gate's query are replaced in it too. With
	// compare, both revisions must have enough samples.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.findAll('[$][(][^)]*[)]').all(p, p in ['$(member)', '$(namespace)', '$(from)', '$(to)', '$(revision)', '$(version)', '$(pods)'])",message="spec.upgrade.gates[].prometheus.samples.query: $(...) must be member, namespace, from, to, revision, version or pods"
	Query string `json:"query"`
	// min is the lowest number of samples that is enough.
	// +required
	Min Number `json:"min"`
}

// Comparison selects how the new revision is compared with the old one.
type Comparison string

const (
	// ComparisonRatio divides the new number by the old one.
	ComparisonRatio Comparison = "Ratio"
	// ComparisonDifference subtracts the old number from the new one.
	ComparisonDifference Comparison = "Difference"
)

// WebhookGate calls a server by POST. docs/gates.md describes the requests and the answers.
type WebhookGate struct {
	GateServer `json:",inline"`
	// retries is how often a request is repeated if it got no answer, or the status 429 or 5xx. The verdict is Pending between the
	// requests, which are 5s apart, and Error after the last one. Default: 2.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=5
	Retries *int32 `json:"retries,omitempty"`
	// interval is the time between evaluations after the verdict Pass. At least 5s. After any other verdict the interval is 5s.
	// Default: 30s.
	// +optional
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('5s')",message="spec.upgrade.gates[].webhook.interval: at least 5s"
	Interval *metav1.Duration `json:"interval,omitempty"`
}

// GateMeasurements counts the measurements of a gate in a member since its workloads have moved.
type GateMeasurements struct {
	// taken is the number of measurements that returned a number.
	// +optional
	Taken int32 `json:"taken,omitempty"`
	// bad is the number of these measurements that were out of bounds.
	// +optional
	Bad int32 `json:"bad,omitempty"`
}
