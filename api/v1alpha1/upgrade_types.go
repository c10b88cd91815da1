package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Upgrade configures how a change of the version or of control plane values is rolled out to the members.
//
// +kubebuilder:validation:XValidation:rule="has(self.planHash) == (has(self.mode) && self.mode == 'Locked')",message="spec.upgrade.planHash: required with mode Locked, and not accepted without it"
type Upgrade struct {
	// mode selects when an upgrade starts. `Run`: it starts when the spec differs from what the mesh runs. `Plan`: it does not
	// start. The operator makes a plan and changes nothing. The plan and its hash are in the status of the MeshUpgrade.
	// `Locked`: it starts if the hash of the plan is equal to planHash. A plan with another hash is refused. The mode does not
	// stop an upgrade that has started. Default: `Run`.
	// +optional
	// +kubebuilder:default=Run
	// +kubebuilder:validation:Enum=Run;Plan;Locked
	Mode UpgradeMode `json:"mode,omitempty"`

	// planHash is the hash of the plan that may run with mode `Locked`. It is status.plan.hash of the MeshUpgrade.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	PlanHash string `json:"planHash,omitempty"`

	// waves are groups of members. The waves are upgraded one after another, in this order. Every member must be in exactly one
	// wave. Default: one member first, then the others, a quarter at a time.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Waves []Wave `json:"waves,omitempty"`

	// gates configure the checks that must pass before a member moves to its next stage. Built-in gates are evaluated even if
	// they are not listed. An upgrade keeps the gates with which it started.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self.all(g, g.name in ['ControlPlaneReady', 'PeersSynced', 'EndpointsComplete', 'ConfigAccepted', 'ConfigValid', 'Injection', 'ConfigDiff', 'ProxiesSynced', 'GatewaysProgrammed'] || g.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$'))",message="spec.upgrade.gates[].name: must be the name of a built-in gate, or for a custom gate a DNS label that starts with a lower-case letter"
	// +kubebuilder:validation:XValidation:rule="self.all(g, g.name.matches('^[A-Z]') ? !has(g.prometheus) && !has(g.webhook) : has(g.prometheus) != has(g.webhook))",message="spec.upgrade.gates[]: a custom gate must have exactly one of prometheus and webhook; a built-in gate must have neither, and a custom gate cannot use its name"
	// +kubebuilder:validation:XValidation:rule="self.all(g, !has(g.configDiff) || g.name == 'ConfigDiff')",message="spec.upgrade.gates[].configDiff: allowed for the gate ConfigDiff only"
	// +kubebuilder:validation:XValidation:rule="self.all(g, !has(g.configDiff) || !has(g.configDiff.failOn) || g.configDiff.failOn.all(c, c in ['TLSWeakened', 'AuthorizationChanged', 'ListenersLost', 'FiltersLost', 'FiltersReordered', 'RoutesLost', 'RoutesReordered', 'RoutesChanged', 'ClustersLost', 'EndpointsLost', 'IdentitiesLost', 'Changed', 'Added']))",message="spec.upgrade.gates[].configDiff.failOn: must be one of TLSWeakened, AuthorizationChanged, ListenersLost, FiltersLost, FiltersReordered, RoutesLost, RoutesReordered, RoutesChanged, ClustersLost, EndpointsLost, IdentitiesLost, Changed, Added"
	// +kubebuilder:validation:XValidation:rule="self.all(g, !has(g.prometheus) || !has(g.prometheus.compare) || g.prometheus.compare in ['Ratio', 'Difference'])",message="spec.upgrade.gates[].prometheus.compare: must be Ratio or Difference"
	Gates []Gate `json:"gates,omitempty"`

	// onFailure selects what happens when more members of a wave fail than its maxFailures allows. `Rollback`: the members in
	// rollbackScope are rolled back to the old revision. `Pause`: everything stays as it is, and the upgrade waits for a
	// person. Default: `Rollback`.
	// +optional
	// +kubebuilder:default=Rollback
	// +kubebuilder:validation:Enum=Rollback;Pause
	OnFailure FailureAction `json:"onFailure,omitempty"`

	// rollbackScope selects which members are rolled back when a wave exceeds its maxFailures. It has an effect with
	// `onFailure: Rollback` only. `Member`: the members that failed. `Wave`: every changed member of that wave. `Upgrade`:
	// every changed member of the upgrade. With `Member` and `Wave` the upgrade stops: members that have started finish, and no
	// further member starts. Members then run different revisions until the spec or `attempt` changes. An abort, and a spec
	// that returns to what the upgrade came from, roll back every changed member, whatever the scope. Default: `Upgrade`.
	// +optional
	// +kubebuilder:default=Upgrade
	// +kubebuilder:validation:Enum=Member;Wave;Upgrade
	RollbackScope RollbackScope `json:"rollbackScope,omitempty"`

	// state is `Run`, `Pause` or `Abort`. `Pause`: no member starts another stage. `Abort`: every changed member is rolled
	// back, and no upgrade starts until the state is `Run`. The annotation `mesh.meshfleet.io/action` of a MeshUpgrade does the
	// same for that upgrade only. The stricter of the two applies. Default: `Run`.
	// +optional
	// +kubebuilder:default=Run
	// +kubebuilder:validation:Enum=Run;Pause;Abort
	State UpgradeState `json:"state,omitempty"`

	// maxMinorStep is how many minor versions of Istio the mesh advances by one upgrade at most. A change of spec.version over more minor
	// versions takes several upgrades, one after the other, through releases in the operator's image. `1` goes through every minor version.
	// Two is what upstream supports. Default: 2.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2
	MaxMinorStep int32 `json:"maxMinorStep,omitempty"`

	// unreachablePeers selects what happens while a member is unreachable. `Wait`: no further member starts, because a new
	// istiod may not learn the endpoints of the unreachable member. `Ignore`: further members start. Members that have started
	// continue in both cases. Default: `Wait`.
	// +optional
	// +kubebuilder:default=Wait
	// +kubebuilder:validation:Enum=Wait;Ignore
	UnreachablePeers UnreachablePeers `json:"unreachablePeers,omitempty"`

	// ignoreChecks are preflight checks that do not block the upgrade. Their results are only reported. Example: `Room`, if
	// nodes are added when pods need them. Default: none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:Enum=Objects;Permissions;CustomResources;GatewayAPI;Webhooks;Room;Peers;CNI;Gateways
	IgnoreChecks []PreflightCheck `json:"ignoreChecks,omitempty"`

	// attempt is the number of the attempt. Increment it to retry a target that failed. A failed target is not retried
	// automatically. The annotation `mesh.meshfleet.io/action: Retry` of the failed MeshUpgrade does the same. Default: 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Attempt int32 `json:"attempt,omitempty"`

	// historyLimit is the number of finished MeshUpgrades that are kept. Default: 5.
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	HistoryLimit int32 `json:"historyLimit,omitempty"`
}

// UpgradeMode selects when an upgrade starts.
type UpgradeMode string

const (
	// UpgradeModeRun starts an upgrade when the spec differs from what the mesh runs.
	UpgradeModeRun UpgradeMode = "Run"
	// UpgradeModePlan plans an upgrade and does not start it.
	UpgradeModePlan UpgradeMode = "Plan"
	// UpgradeModeLocked starts an upgrade when the hash of its plan is equal to planHash.
	UpgradeModeLocked UpgradeMode = "Locked"
)

// UnreachablePeers selects what an upgrade does while a member is unreachable.
type UnreachablePeers string

const (
	// UnreachablePeersWait starts no further member.
	UnreachablePeersWait UnreachablePeers = "Wait"
	// UnreachablePeersIgnore starts further members.
	UnreachablePeersIgnore UnreachablePeers = "Ignore"
)

// PreflightCheck is a check of a member that runs before anything changes there, and that can be ignored.
type PreflightCheck string

const (
	// CheckObjects: the API server accepts the objects of the new revision.
	CheckObjects PreflightCheck = "Objects"
	// CheckPermissions: the credential has the permissions that the new revision needs.
	CheckPermissions PreflightCheck = "Permissions"
	// CheckCustomResources: the CustomResourceDefinitions of Istio can be updated to the new release.
	CheckCustomResources PreflightCheck = "CustomResources"
	// CheckGatewayAPI: the CustomResourceDefinitions of the Gateway API are new enough for the new release.
	CheckGatewayAPI PreflightCheck = "GatewayAPI"
	// CheckWebhooks: no other webhook injects sidecars in the namespaces of the mesh.
	CheckWebhooks PreflightCheck = "Webhooks"
	// CheckRoom: nodes and quotas have room for the new control plane and gateway beside the old ones.
	CheckRoom PreflightCheck = "Room"
	// CheckPeers: istiod reads every peer.
	CheckPeers PreflightCheck = "Peers"
	// CheckCNI: sidecars of the new revision can redirect traffic: the CNI plugin runs if the values need it, or else the
	// Pod Security levels of the namespaces of the mesh allow the init container.
	CheckCNI PreflightCheck = "CNI"
	// CheckGateways: no Gateway besides the operator's has a server at the port of the east-west gateway.
	CheckGateways PreflightCheck = "Gateways"
)

// FailureAction selects what happens when more members of a wave fail than its maxFailures allows.
type FailureAction string

const (
	// FailureActionRollback rolls back the members in the rollback scope.
	FailureActionRollback FailureAction = "Rollback"
	// FailureActionPause leaves everything as it is and waits for a person.
	FailureActionPause FailureAction = "Pause"
)

// RollbackScope selects which members are rolled back when a wave exceeds its maxFailures.
type RollbackScope string

const (
	// RollbackScopeMember rolls back the members that failed.
	RollbackScopeMember RollbackScope = "Member"
	// RollbackScopeWave rolls back every changed member of the wave that failed.
	RollbackScopeWave RollbackScope = "Wave"
	// RollbackScopeUpgrade rolls back every changed member of the upgrade.
	RollbackScopeUpgrade RollbackScope = "Upgrade"
)

// UpgradeState is the requested state of an upgrade.
type UpgradeState string

const (
	// UpgradeStateRun lets the upgrade continue.
	UpgradeStateRun UpgradeState = "Run"
	// UpgradeStatePause starts no further stage in any member.
	UpgradeStatePause UpgradeState = "Pause"
	// UpgradeStateAbort rolls back every changed member.
	UpgradeStateAbort UpgradeState = "Abort"
)

// Wave is a group of members that are upgraded before the next wave starts.
type Wave struct {
	// name is the name of the wave.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="spec.upgrade.waves[].name: must be a DNS label"
	Name string `json:"name"`
	// memberSelector selects members by their labels. At most one wave may omit it. Default: every member that no other wave
	// selects.
	// +optional
	MemberSelector *metav1.LabelSelector `json:"memberSelector,omitempty"`
	// maxConcurrent is how many members of the wave change at the same time, as a number or a percentage of the wave (rounded
	// down, at least one). Default: 1.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:Pattern=`^([1-9][0-9]?|100)%$`
	// +kubebuilder:validation:XValidation:rule="type(self) != int || self >= 1",message="spec.upgrade.waves[].maxConcurrent: at least 1, or a percentage from 1% to 100%"
	MaxConcurrent *intstr.IntOrString `json:"maxConcurrent,omitempty"`
	// soak is how long the wave must stay healthy after its last member was upgraded. Then the next wave starts. Default: 0s.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="spec.upgrade.waves[].soak: must not be negative"
	Soak *metav1.Duration `json:"soak,omitempty"`
	// progressDeadline is how long a member may work on a stage without progress. After that the member fails. Progress is: a
	// gate starts to pass, a workload or pod has moved, the gateway completes a step of its replacement, or an unreachable
	// member is reachable again. A member that is unreachable for this time has not failed. It counts against maxFailures until
	// it is reachable again. If maxFailures is exceeded, the upgrade is paused. At least 10s. Default: 30m.
	// +optional
	// +kubebuilder:default="30m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s')",message="spec.upgrade.waves[].progressDeadline: at least 10s"
	ProgressDeadline *metav1.Duration `json:"progressDeadline,omitempty"`
	// maxFailures is how many members of the wave may fail before the upgrade fails. A failed member is rolled back to the old
	// revision. A member that is unreachable for the progressDeadline counts too, but does not make the upgrade fail. Within
	// maxFailures the wave continues without it. If maxFailures is exceeded, the upgrade is paused. Default: 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MaxFailures int32 `json:"maxFailures,omitempty"`
	// approval selects whether the wave needs an approval. `Required`: the wave starts after its MeshApproval has the decision
	// `Approved`. Default: `NotRequired`.
	// +optional
	// +kubebuilder:default=NotRequired
	// +kubebuilder:validation:Enum=Required;NotRequired
	Approval ApprovalPolicy `json:"approval,omitempty"`
	// orderBy is the key of a label. The members of the wave are upgraded in the order of its values: numbers first, by size.
	// Members with the same value are upgraded in the order of their names. Members without the label are upgraded last.
	// Default: by name only.
	// +optional
	// +kubebuilder:validation:MaxLength=317
	OrderBy string `json:"orderBy,omitempty"`
	// window is the maintenance window in which members of the wave may start. A member that has started always finishes.
	// Soaking continues outside of the window, and a rollback is always possible. Default: at any time.
	// +optional
	Window *MaintenanceWindow `json:"window,omitempty"`
}

// MaintenanceWindow is a recurring period of time.
type MaintenanceWindow struct {
	// schedule is when the window opens, in the five fields of cron: minute, hour, day of the month, month, day of the week. `0
	// 22 * * 1-4` is at 22:00 from Monday to Thursday.
	// +required
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=100
	Schedule string `json:"schedule"`
	// duration is how long the window stays open, from 1m to 168h.
	// +required
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('168h')",message="spec.upgrade.waves[].window.duration: from 1m to 168h"
	Duration metav1.Duration `json:"duration"`
	// timeZone is the time zone of the schedule, a name of the IANA database such as `Europe/Berlin`. Default: UTC.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`
}

// ApprovalPolicy selects whether a wave needs an approval.
type ApprovalPolicy string

const (
	// ApprovalRequired waits for a MeshApproval.
	ApprovalRequired ApprovalPolicy = "Required"
	// ApprovalNotRequired needs no approval.
	ApprovalNotRequired ApprovalPolicy = "NotRequired"
)

// Hold keeps a member at its revision while the other members are upgraded.
type Hold struct {
	// reason is why the member is held: one line, without spaces at its ends. Messages quote it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^\\\\S(.*\\\\S)?$')",message="spec.members[].hold.reason: write one line, without spaces at its ends"
	Reason string `json:"reason"`
	// until is the time until which the hold was agreed. It ends nothing: after that time the member stays held, and the condition
	// `HoldsCurrent` of the MeshInstallation is `False`.
	// +required
	Until metav1.Time `json:"until"`
}
