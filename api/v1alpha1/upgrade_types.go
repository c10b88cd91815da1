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
	// +kubebuilder:validation:XValidation:rule="self.all(g, g.name in ['ControlPlaneReady', 'PeersSynced', 'EndpointsComplete', 'ConfigAccepted', 'ConfigValid', 'Injection', 'ConfigDiff', 'ProxiesSynced', 'GatewaysProgrammed'] || g.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$'))",message="spec.upgrade.gates[].name: the name of a built-in gate, or for your own a DNS label that starts with a letter"
	// +kubebuilder:validation:XValidation:rule="self.all(g, g.name.matches('^[A-Z]') ? !has(g.prometheus) && !has(g.webhook) : has(g.prometheus) != has(g.webhook))",message="spec.upgrade.gates[]: a gate of your own has exactly one of prometheus and webhook; a built-in gate has none, and its name is taken"
	// +kubebuilder:validation:XValidation:rule="self.all(g, !has(g.configDiff) || g.name == 'ConfigDiff')",message="spec.upgrade.gates[].configDiff: only the gate ConfigDiff has it"
	Gates []Gate `json:"gates,omitempty"`

	// onFailure says what happens when a member fails: `Rollback` takes every member that was touched back to the
	// former revision, `Pause` leaves everything as it is and waits for you. Default: `Rollback`.
	// +optional
	// +kubebuilder:default=Rollback
	OnFailure FailureAction `json:"onFailure,omitempty"`

	// rollbackScope says who goes back when more members of a wave fail than it allows: `Member`, only those that failed;
	// `Wave`, every touched member of that wave; `Run`, every touched member of the upgrade. With `Member` and `Wave` the
	// upgrade stops there: what has begun elsewhere finishes, nothing more starts, and members run different revisions
	// until the spec or `attempt` changes. An upgrade that is aborted or superseded goes back as a whole. Has a meaning
	// with `onFailure: Rollback` only. Default: `Run`.
	// +optional
	// +kubebuilder:default=Run
	RollbackScope RollbackScope `json:"rollbackScope,omitempty"`

	// state is `Run`, `Pause` (no member goes on) or `Abort` (every member goes back, and no upgrade starts until you write
	// `Run`). The annotation `mesh.meshfleet.io/order` of a MeshUpgrade says the same of that one; the stricter of the two
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
	// itself. The annotation `mesh.meshfleet.io/order: Retry` of the MeshUpgrade that failed does the same. Default: 0.
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
// +kubebuilder:validation:Enum=Member;Wave;Run
type RollbackScope string

const (
	// RollbackScopeMember takes back the members that failed.
	RollbackScopeMember RollbackScope = "Member"
	// RollbackScopeWave takes back every touched member of the wave that failed.
	RollbackScopeWave RollbackScope = "Wave"
	// RollbackScopeRun takes back every touched member.
	RollbackScopeRun RollbackScope = "Run"
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

// Stage is how far a member's upgrade is ordered to go. Each includes those before it.
//
// +kubebuilder:validation:Enum=Preflight;Install;Gateways;Workloads;Soak;Retire;RollBack;Discard
type Stage string

const (
	// StagePreflight looks for what would be in the way, and changes nothing.
	StagePreflight Stage = "Preflight"
	// StageInstall runs the new revision beside the old one and proves it with the gates.
	StageInstall Stage = "Install"
	// StageGateways replaces the east-west gateway by one of the new revision.
	StageGateways Stage = "Gateways"
	// StageWorkloads points the tags at the new revision and restarts the workloads that have proxies of the old one.
	StageWorkloads Stage = "Workloads"
	// StageSoak proves that all of it runs well for as long as the wave says.
	StageSoak Stage = "Soak"
	// StageRetire removes the old revision.
	StageRetire Stage = "Retire"
	// StageRollBack points tags and gateway back at the old revision and restarts what was moved.
	StageRollBack Stage = "RollBack"
	// StageDiscard removes the new revision after everything is back.
	StageDiscard Stage = "Discard"
)

// StageState is how a stage stands in a member.
//
// +kubebuilder:validation:Enum=Progressing;Done;Failed;Inconclusive
type StageState string

const (
	// StageProgressing: the member works or waits.
	StageProgressing StageState = "Progressing"
	// StageDone: what the stage is for holds.
	StageDone StageState = "Done"
	// StageFailed: a gate said no, or something cannot work.
	StageFailed StageState = "Failed"
	// StageInconclusive: a gate cannot tell; a person must look.
	StageInconclusive StageState = "Inconclusive"
)

// MemberRollout is the part of a work order that an upgrade writes.
type MemberRollout struct {
	// upgrade is the name of the MeshUpgrade.
	// +required
	Upgrade string `json:"upgrade"`
	// from is the revision that the member leaves.
	// +required
	From string `json:"from"`
	// former is the revision that the member leaves, complete, so that the member can go back to it even after it is
	// retired.
	// +required
	Former Revision `json:"former"`
	// to is the revision that the member goes to.
	// +required
	To string `json:"to"`
	// target is the revision that the member goes to, complete, as it was when the upgrade came to the member.
	// +required
	Target Revision `json:"target"`
	// stage is how far to go.
	// +required
	Stage Stage `json:"stage"`
	// orderedAt is when the stage was ordered.
	// +optional
	OrderedAt metav1.Time `json:"orderedAt,omitzero"`
	// gates are the upgrade's.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Gates []Gate `json:"gates,omitempty"`
	// ignoreChecks are checks of the preflight that hold nothing up.
	// +optional
	// +listType=set
	IgnoreChecks []PreflightCheck `json:"ignoreChecks,omitempty"`
}

// MemberRolloutStatus is what a member reports of an upgrade.
type MemberRolloutStatus struct {
	// upgrade is the name of the MeshUpgrade.
	// +required
	Upgrade string `json:"upgrade"`
	// stage that this speaks of.
	// +required
	Stage Stage `json:"stage"`
	// state of the stage.
	// +required
	State StageState `json:"state"`
	// since is when the stage was ordered, as far as the member knows.
	// +required
	Since metav1.Time `json:"since"`
	// progress is the furthest that the stage has come.
	// +optional
	Progress StageProgress `json:"progress,omitzero"`
	// doneAt is when the state became Done.
	// +optional
	DoneAt *metav1.Time `json:"doneAt,omitempty"`
	// tagsMovedAt is when the member was told to point its tags at the new revision. Empty: it was not.
	// +optional
	TagsMovedAt *metav1.Time `json:"tagsMovedAt,omitempty"`
	// message says what is awaited, what failed, or what was done.
	// +optional
	Message string `json:"message,omitempty"`
	// gates are the last verdicts; in the stage Preflight those of its checks.
	// +optional
	// +listType=map
	// +listMapKey=name
	Gates []GateResult `json:"gates,omitempty"`
	// workloads counts the workloads with proxies.
	// +optional
	Workloads WorkloadCounts `json:"workloads,omitzero"`
	// changes are the objects that the upgrade changes in the member, as the preflight found them.
	// +optional
	Changes ObjectChanges `json:"changes,omitzero"`
	// forecast is what the upgrade will do to workloads, as the last preflight found them.
	// +optional
	Forecast RolloutForecast `json:"forecast,omitzero"`
}

// StageProgress is the furthest that a stage has come since it was ordered.
type StageProgress struct {
	// at is when it came there. The wave's progressDeadline counts from it.
	// +optional
	At *metav1.Time `json:"at,omitempty"`
	// workloads is the most that had moved.
	// +optional
	Workloads int32 `json:"workloads,omitempty"`
	// pods is the most that served with a proxy of the ordered revision.
	// +optional
	Pods int32 `json:"pods,omitempty"`
	// gatewayStep is how far the replacement of the gateway was: 1, the new one has an address; 2, its pods serve; 3, peers
	// were told of it; 4, the former one is withdrawn; 5, the former one is gone.
	// +optional
	GatewayStep int32 `json:"gatewayStep,omitempty"`
}

// ObjectChanges compares the operator's objects in a member before an upgrade with those after it.
type ObjectChanges struct {
	// hash of the objects after the upgrade and of the names of those that go.
	// +optional
	Hash string `json:"hash,omitempty"`
	// added are made, such as the new istiod.
	// +optional
	Added Sample `json:"added,omitzero"`
	// changed have the same name and another content, such as the tags.
	// +optional
	Changed Sample `json:"changed,omitzero"`
	// removed go when the old revision retires.
	// +optional
	Removed Sample `json:"removed,omitzero"`
}

// RolloutForecast is what an upgrade will do to the workloads of a member.
type RolloutForecast struct {
	// restarts are the workloads that will be restarted.
	// +optional
	Restarts Sample `json:"restarts,omitzero"`
	// pods is the number of their pods.
	// +optional
	Pods int32 `json:"pods,omitempty"`
	// budgets are the PodDisruptionBudgets of those workloads that allow no disruption now. The upgrade waits for them.
	// +optional
	Budgets Sample `json:"budgets,omitzero"`
	// fragile are those of the workloads that lose requests at any restart, each with the reason.
	// +optional
	Fragile Sample `json:"fragile,omitzero"`
	// pinned name the former revision instead of a tag in their label `istio.io/rev`: namespaces and Gateways first, then pod
	// templates and pods. What they make keeps the proxies of that revision, and it does not retire, until they name a tag.
	// +optional
	Pinned Sample `json:"pinned,omitzero"`
}

// Sample counts things and names the first of them.
type Sample struct {
	// count of all.
	// +optional
	Count int32 `json:"count,omitempty"`
	// names of the first ten, sorted.
	// +optional
	// +listType=atomic
	Names []string `json:"names,omitempty"`
}

// WorkloadCounts counts the workloads with proxies of a member.
type WorkloadCounts struct {
	// total number of workloads that can be restarted.
	// +optional
	Total int32 `json:"total,omitempty"`
	// moved is the number that have proxies of the ordered revision only.
	// +optional
	Moved int32 `json:"moved,omitempty"`
	// movedPods is the number of their pods that serve with a proxy of the ordered revision.
	// +optional
	MovedPods int32 `json:"movedPods,omitempty"`
	// skipped names pods that are never restarted by the operator: bare pods, Jobs, and those that opted out.
	// +optional
	// +listType=set
	Skipped []string `json:"skipped,omitempty"`
}

// Verdict is the answer of a gate.
//
// +kubebuilder:validation:Enum=Pass;Fail;Pending;Inconclusive;Error
type Verdict string

const (
	// VerdictPass: yes.
	VerdictPass Verdict = "Pass"
	// VerdictFail: no.
	VerdictFail Verdict = "Fail"
	// VerdictPending: not yet; a measurement goes on and is awaited. It never passes.
	VerdictPending Verdict = "Pending"
	// VerdictInconclusive: there is not enough to tell. It never passes.
	VerdictInconclusive Verdict = "Inconclusive"
	// VerdictError: the question could not be asked.
	VerdictError Verdict = "Error"
)

// GateResult is the last answer of one gate.
type GateResult struct {
	// name of the gate.
	// +required
	Name string `json:"name"`
	// verdict of the gate: `Pass`, `Fail`, `Pending` (time will tell), `Inconclusive` (there is not enough to tell) or
	// `Error` (it could not be asked).
	// +required
	Verdict Verdict `json:"verdict"`
	// message says what was measured and against what.
	// +optional
	Message string `json:"message,omitempty"`
	// value is what was measured, where a gate counts or measures something.
	// +optional
	Value string `json:"value,omitempty"`
	// threshold is what the value was held against, such as `<= 0`.
	// +optional
	Threshold string `json:"threshold,omitempty"`
	// dryRun says that the verdict stops and fails nothing.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`
	// askedAt is when a gate was last asked that is asked at a pace of its own. The others are asked every few seconds.
	// +optional
	AskedAt *metav1.Time `json:"askedAt,omitempty"`
	// measurements counts what a gate has measured that measures more than once.
	// +optional
	Measurements *GateMeasurements `json:"measurements,omitempty"`
	// since is when the verdict last changed.
	// +required
	Since metav1.Time `json:"since"`
}
