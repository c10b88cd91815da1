package v1alpha1

// Gate configures one question that must be answered yes before an upgrade goes on.
type Gate struct {
	// name of a built-in gate: `ControlPlaneReady`, `PeersSynced`, `EndpointsComplete`, `ConfigAccepted`, `ConfigValid`,
	// `Injection` or `ProxiesSynced`.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	Name string `json:"name"`
	// dryRun asks the gate and records its answers, but they never stop or fail anything. Default: false.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`
}
