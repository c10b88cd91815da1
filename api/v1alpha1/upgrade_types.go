package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Upgrade says how a change of the version or of control plane values reaches the members.
//
// +kubebuilder:validation:XValidation:rule="has(self.planHash) == (has(self.mode) && self.mode == 'Locked')",message="spec.upgrade.planHash: required with mode Locked, and not accepted without it"
type Upgrade struct {
	// mode is `Run`, `Plan` or `Locked`. `Plan` finds out what an upgrade would do and changes nothing; the plan and its hash
	// are in the status of the MeshUpgrade. `Locked` runs only the plan whose hash is in planHash: one that has changed
	// since is refused. An upgrade that has begun goes on whatever the mode. Default: `Run`.
	// +optional
	// +kubebuilder:default=Run
	Mode UpgradeMode `json:"mode,omitempty"`

	// planHash is the hash of the plan that may run with mode `Locked`, as status.plan.hash of the MeshUpgrade says it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	PlanHash string `json:"planHash,omitempty"`

	// waves are sets of members that are upgraded together, in this order. Every member must be in exactly one of them.
	// Default: one member first, then the others, a quarter at a time.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Waves []Wave `json:"waves,omitempty"`

	// gates configure the questions that must be answered yes before a member goes on. Built-in gates are asked whether
	// or not they are listed. An upgrade keeps the gates with which it began.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self.all(g, g.name in ['ControlPlaneReady', 'PeersSynced', 'EndpointsComplete', 'ConfigAccepted', 'ConfigValid', 'Injection', 'ConfigDiff', 'ProxiesSynced', 'GatewaysProgrammed'] || g.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$'))",message="spec.upgrade.gates[].name: must be the name of a built-in gate, or for a custom gate a DNS label that starts with a lower-case letter"
	// +kubebuilder:validation:XValidation:rule="self.all(g, g.name.matches('^[A-Z]') ? !has(g.prometheus) && !has(g.webhook) : has(g.prometheus) != has(g.webhook))",message="spec.upgrade.gates[]: a custom gate must have exactly one of prometheus and webhook; a built-in gate must have neither, and a custom gate cannot use its name"
	// +kubebuilder:validation:XValidation:rule="self.all(g, !has(g.configDiff) || g.name == 'ConfigDiff')",message="spec.upgrade.gates[].configDiff: allowed for the gate ConfigDiff only"
	Gates []Gate `json:"gates,omitempty"`

	// onFailure says what happens when a member fails: `Rollback` takes every member that was touched back to the
	// former revision, `Pause` leaves everything as it is and waits for you. Default: `Rollback`.
	// +optional
	// +kubebuilder:default=Rollback
	OnFailure FailureAction `json:"onFailure,omitempty"`

	// rollbackScope says who goes back when more members of a wave fail than it allows: `Member`, only those that failed;
	// `Wave`, every touched member of that wave; `Upgrade`, every touched member of the upgrade. With `Member` and `Wave` the
	// upgrade stops there: what has begun elsewhere finishes, nothing more starts, and members run different revisions
	// until the spec or `attempt` changes. An upgrade that is aborted or superseded goes back as a whole. Has a meaning
	// with `onFailure: Rollback` only. Default: `Upgrade`.
	// +optional
	// +kubebuilder:default=Upgrade
	RollbackScope RollbackScope `json:"rollbackScope,omitempty"`

	// state is `Run`, `Pause` (no member goes on) or `Abort` (every member goes back, and no upgrade starts until you write
	// `Run`). The annotation `mesh.meshfleet.io/action` of a MeshUpgrade says the same of that one; the stricter of the two
	// counts. Default: `Run`.
	// +optional
	// +kubebuilder:default=Run
	State UpgradeState `json:"state,omitempty"`

	// unreachablePeers says what happens while a member cannot be reached: `Wait` lets no further member begin, because an
	// istiod that starts now may not learn that member's endpoints; `Ignore` goes on without it. Members that have begun go
	// on in any case. Default: `Wait`.
	// +optional
	// +kubebuilder:default=Wait
	UnreachablePeers UnreachablePeers `json:"unreachablePeers,omitempty"`

	// ignoreChecks are checks of the preflight that hold nothing up: what they find is reported only. An example is `Room`
	// where nodes are added when pods need them. Default: none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=8
	IgnoreChecks []PreflightCheck `json:"ignoreChecks,omitempty"`

	// attempt is counted up to try a target again that has failed before: a failed target is not tried again by
	// itself. The annotation `mesh.meshfleet.io/action: Retry` of the MeshUpgrade that failed does the same. Default: 0.
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

// UpgradeMode says whether a change starts by itself.
//
// +kubebuilder:validation:Enum=Run;Plan;Locked
type UpgradeMode string

const (
	// UpgradeModeRun starts.
	UpgradeModeRun UpgradeMode = "Run"
	// UpgradeModePlan only plans.
	UpgradeModePlan UpgradeMode = "Plan"
	// UpgradeModeLocked starts when the plan is the one that is quoted.
	UpgradeModeLocked UpgradeMode = "Locked"
)

// UnreachablePeers says what an upgrade does while a member cannot be reached.
//
// +kubebuilder:validation:Enum=Wait;Ignore
type UnreachablePeers string

const (
	// UnreachablePeersWait lets no further member begin.
	UnreachablePeersWait UnreachablePeers = "Wait"
	// UnreachablePeersIgnore goes on without those that cannot be reached.
	UnreachablePeersIgnore UnreachablePeers = "Ignore"
)

// PreflightCheck is a question about a member that is asked before anything changes there, and that people may overrule.
//
// +kubebuilder:validation:Enum=Objects;Permissions;CustomResources;GatewayAPI;Webhooks;Room;Peers
type PreflightCheck string

const (
	// CheckObjects: the API server takes the objects of the new revision.
	CheckObjects PreflightCheck = "Objects"
	// CheckPermissions: the credential may do what the new revision needs.
	CheckPermissions PreflightCheck = "Permissions"
	// CheckCustomResources: Istio's CustomResourceDefinitions can be brought to the new release.
	CheckCustomResources PreflightCheck = "CustomResources"
	// CheckGatewayAPI: the CustomResourceDefinitions of the Gateway API are new enough for the new release to read them.
	CheckGatewayAPI PreflightCheck = "GatewayAPI"
	// CheckWebhooks: nobody else's webhook adds sidecars in the mesh's namespaces.
	CheckWebhooks PreflightCheck = "Webhooks"
	// CheckRoom: nodes and quotas have room for the new control plane and gateway beside the old ones.
	CheckRoom PreflightCheck = "Room"
	// CheckPeers: istiod reads every peer.
	CheckPeers PreflightCheck = "Peers"
)

// FailureAction says what happens when a member fails.
//
// +kubebuilder:validation:Enum=Rollback;Pause
type FailureAction string

const (
	// FailureActionRollback takes every touched member back.
	FailureActionRollback FailureAction = "Rollback"
	// FailureActionPause waits for a person.
	FailureActionPause FailureAction = "Pause"
)

// RollbackScope says who goes back when a wave fails.
//
// +kubebuilder:validation:Enum=Member;Wave;Upgrade
type RollbackScope string

const (
	// RollbackScopeMember takes back the members that failed.
	RollbackScopeMember RollbackScope = "Member"
	// RollbackScopeWave takes back every touched member of the wave that failed.
	RollbackScopeWave RollbackScope = "Wave"
	// RollbackScopeUpgrade takes back every touched member.
	RollbackScopeUpgrade RollbackScope = "Upgrade"
)

// UpgradeState is what people want of a running upgrade.
//
// +kubebuilder:validation:Enum=Run;Pause;Abort
type UpgradeState string

const (
	// UpgradeStateRun lets the upgrade go on.
	UpgradeStateRun UpgradeState = "Run"
	// UpgradeStatePause stops before the next step of any member.
	UpgradeStatePause UpgradeState = "Pause"
	// UpgradeStateAbort takes every touched member back.
	UpgradeStateAbort UpgradeState = "Abort"
)

// Wave is a set of members that are upgraded together.
type Wave struct {
	// name of the wave.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="spec.upgrade.waves[].name: must be a DNS label"
	Name string `json:"name"`
	// memberSelector selects members by their labels. Default: every member that no other wave selects; at most one wave
	// may leave it out.
	// +optional
	MemberSelector *metav1.LabelSelector `json:"memberSelector,omitempty"`
	// maxConcurrent is how many members of the wave change at the same time, as a number or a percentage of the wave
	// (rounded down, at least one). Default: 1.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:Pattern=`^([1-9][0-9]?|100)%$`
	// +kubebuilder:validation:XValidation:rule="type(self) != int || self >= 1",message="spec.upgrade.waves[].maxConcurrent: at least 1, or a percentage from 1% to 100%"
	MaxConcurrent *intstr.IntOrString `json:"maxConcurrent,omitempty"`
	// soak is how long the wave's last member must have run well before the next wave starts. Default: 0s.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="spec.upgrade.waves[].soak: must not be negative"
	Soak *metav1.Duration `json:"soak,omitempty"`
	// progressDeadline is how long one member may work on a stage without progress; longer is a failure. A gate that comes to
	// pass, a workload or pod that is moved, and a step of the gateway are progress, and so is a member that can be reached
	// again. A member that cannot be reached for as long has not failed: it counts against maxFailures until it is back, and
	// beyond that the upgrade is paused. Default: 30m.
	// +optional
	// +kubebuilder:default="30m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s')",message="spec.upgrade.waves[].progressDeadline: at least 10s"
	ProgressDeadline *metav1.Duration `json:"progressDeadline,omitempty"`
	// maxFailures is how many members of the wave may fail before the upgrade does. A failed member goes back to the
	// former revision. Members that cannot be reached for the progressDeadline count too, but they never make the upgrade
	// fail: within maxFailures the wave goes on without them, beyond it the upgrade is paused. Default: 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MaxFailures int32 `json:"maxFailures,omitempty"`
	// approval is `Required` when a person must answer the wave's MeshApproval before it starts. Default: `NotRequired`.
	// +optional
	// +kubebuilder:default=NotRequired
	Approval ApprovalPolicy `json:"approval,omitempty"`
	// orderBy is the key of a label: members of the wave go in the order of its values, numbers first and by their size,
	// and then of their names. Members without that label go last. Default: by name only.
	// +optional
	// +kubebuilder:validation:MaxLength=317
	OrderBy string `json:"orderBy,omitempty"`
	// window is when members of the wave may start. A member that has started finishes, soaking goes on, and going back is
	// always possible. Default: at any time.
	// +optional
	Window *MaintenanceWindow `json:"window,omitempty"`
}

// MaintenanceWindow is a time that comes again and again.
type MaintenanceWindow struct {
	// schedule is when the window opens, in five fields as cron has them: minute, hour, day of the month, month, day of the
	// week. `0 22 * * 1-4` is at ten in the evening from Monday to Thursday.
	// +required
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=100
	Schedule string `json:"schedule"`
	// duration is how long it stays open, from a minute to a week.
	// +required
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('168h')",message="spec.upgrade.waves[].window.duration: from 1m to 168h"
	Duration metav1.Duration `json:"duration"`
	// timeZone of the schedule, a name of the IANA database such as `Europe/Berlin`. Default: UTC.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`
}

// ApprovalPolicy says whether a wave needs a person's word.
//
// +kubebuilder:validation:Enum=Required;NotRequired
type ApprovalPolicy string

const (
	// ApprovalRequired waits for a MeshApproval.
	ApprovalRequired ApprovalPolicy = "Required"
	// ApprovalNotRequired starts by itself.
	ApprovalNotRequired ApprovalPolicy = "NotRequired"
)
