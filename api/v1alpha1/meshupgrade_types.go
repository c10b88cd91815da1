package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MeshUpgrade is one attempt to upgrade a mesh to another version or to other control plane values. The operator creates it and
// keeps it as a record. Users control it by the annotation `mesh.meshfleet.io/action`: `Pause` or `Abort` until it is over,
// `Retry` after that.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=meshfleet
// +kubebuilder:printcolumn:name="Mesh",type=string,JSONPath=`.spec.installation`
// +kubebuilder:printcolumn:name="From",type=string,JSONPath=`.spec.from.revision`
// +kubebuilder:printcolumn:name="To",type=string,JSONPath=`.spec.to.revision`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Wave",type=string,JSONPath=`.status.wave`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Plan",type=string,priority=1,JSONPath=`.status.plan.hash`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type MeshUpgrade struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the target of the upgrade and a snapshot of its settings.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable: a MeshUpgrade is the record of an upgrade; change the MeshInstallation instead"
	Spec MeshUpgradeSpec `json:"spec"`
	// status is the state of the upgrade.
	// +optional
	Status MeshUpgradeStatus `json:"status,omitzero"`
}

// MeshUpgradeList is a list of MeshUpgrades.
//
// +kubebuilder:object:root=true
type MeshUpgradeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MeshUpgrade `json:"items"`
}

// MeshUpgradeSpec is the target of an upgrade and a snapshot of its settings.
type MeshUpgradeSpec struct {
	// installation is the name of the MeshInstallation, in the same namespace.
	// +required
	Installation string `json:"installation"`
	// from is the revision before the upgrade.
	// +required
	From RevisionTarget `json:"from"`
	// to is the target of the upgrade.
	// +required
	To RevisionTarget `json:"to"`
	// towards is the release in the spec of the MeshInstallation, if this upgrade is only a step to it. Istio does not support
	// an upgrade that skips more than one minor version.
	// +optional
	Towards string `json:"towards,omitempty"`
	// waves are the waves with their members, as planned when the upgrade started.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Waves []PlannedWave `json:"waves"`
	// onFailure is the setting of the MeshInstallation when the upgrade started.
	// +required
	OnFailure FailureAction `json:"onFailure"`
	// rollbackScope is the setting of the MeshInstallation when the upgrade started. Default: `Upgrade`.
	// +optional
	RollbackScope RollbackScope `json:"rollbackScope,omitempty"`
	// gates are the gates of the MeshInstallation when the upgrade started.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Gates []Gate `json:"gates,omitempty"`
	// retry identifies the upgrade that this one retries. Empty: it is not a retry.
	// +optional
	Retry *UpgradeRetry `json:"retry,omitempty"`
}

// RevisionTarget is one revision of the whole mesh.
type RevisionTarget struct {
	// revision is the name of the revision.
	// +required
	Revision string `json:"revision"`
	// version is the Istio release.
	// +required
	Version string `json:"version"`
	// hash is the hash of the version and of all values and gateway settings. It identifies the target.
	// +required
	Hash string `json:"hash"`
	// sharedHash is the hash of what does not change when members join or leave: the version, the values and
	// gateway settings that all members share, and the attempt.
	// +optional
	SharedHash string `json:"sharedHash,omitempty"`
	// charts are the digests of the charts. Empty: the charts in the operator's image.
	// +optional
	Charts ChartDigests `json:"charts,omitzero"`
	// attempt is the attempt of the MeshInstallation when the upgrade started.
	// +optional
	Attempt int32 `json:"attempt,omitempty"`
	// ownValues identify what members run that have values or gateway settings of their own.
	// +optional
	// +listType=map
	// +listMapKey=member
	// +kubebuilder:validation:MaxItems=1000
	OwnValues []OwnValues `json:"ownValues,omitempty"`
}

// OwnValues identifies what a member runs that has values or gateway settings of its own.
type OwnValues struct {
	// member is the name of the member.
	// +required
	Member string `json:"member"`
	// hash is the hash of the member's values and gateway settings, merged with those that all members share.
	// +required
	Hash string `json:"hash"`
}

// PlannedWave is a wave with its members.
type PlannedWave struct {
	// name is the name of the wave.
	// +required
	Name string `json:"name"`
	// members are the members of the wave, in the order in which they are upgraded.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	Members []string `json:"members"`
	// maxConcurrent is how many members change at the same time.
	// +required
	MaxConcurrent int32 `json:"maxConcurrent"`
	// soak is how long the wave must stay healthy after its last member was upgraded.
	// +required
	Soak metav1.Duration `json:"soak"`
	// progressDeadline is how long a member may work on a stage without progress.
	// +required
	ProgressDeadline metav1.Duration `json:"progressDeadline"`
	// maxFailures is how many members may fail before the upgrade fails.
	// +required
	MaxFailures int32 `json:"maxFailures"`
	// approval selects whether the wave needs an approval.
	// +required
	Approval ApprovalPolicy `json:"approval"`
	// window is the maintenance window in which members may start. Default: at any time.
	// +optional
	Window *MaintenanceWindow `json:"window,omitempty"`
}

// UpgradePhase is a summary of the state of an upgrade. A newer operator may add values. Use the conditions to detect whether
// the upgrade is over.
type UpgradePhase string

const (
	// UpgradePlanning: the preflight of members is running. Nothing is changed.
	UpgradePlanning UpgradePhase = "Planning"
	// UpgradePlanned: the plan is complete. Nothing is changed until a person lets it run.
	UpgradePlanned UpgradePhase = "Planned"
	// UpgradeRunning: members change or soak.
	UpgradeRunning UpgradePhase = "Running"
	// UpgradeWaitingForApproval: the next wave needs an approval.
	UpgradeWaitingForApproval UpgradePhase = "WaitingForApproval"
	// UpgradeWaitingForWindow: no member changes. The next member starts when the maintenance window of its wave opens.
	UpgradeWaitingForWindow UpgradePhase = "WaitingForWindow"
	// UpgradePaused: a person paused the upgrade, or must decide.
	UpgradePaused UpgradePhase = "Paused"
	// UpgradeRollingBack: members are being rolled back.
	UpgradeRollingBack UpgradePhase = "RollingBack"
	// UpgradeRolledBack: every changed member is rolled back. A target that failed or was rejected is not retried
	// automatically.
	UpgradeRolledBack UpgradePhase = "RolledBack"
	// UpgradeStopping: some members are being rolled back, and no further member starts. Either a wave failed or was rejected,
	// and the rollback scope is smaller than the upgrade: the other members that have started finish. Or the spec asks for
	// another target: members that have moved keep the new revision, and members in between are rolled back.
	UpgradeStopping UpgradePhase = "Stopping"
	// UpgradeStopped: the upgrade is over, and members run different revisions. The target is not retried automatically.
	UpgradeStopped UpgradePhase = "Stopped"
	// UpgradeSucceeded: every wave has soaked. An old revision that is still used stays in its member, see
	// MeshMember.status.retiring.
	UpgradeSucceeded UpgradePhase = "Succeeded"
)

// IsFinished reports whether the upgrade is over.
func (p UpgradePhase) IsFinished() bool {
	return p == UpgradeRolledBack || p == UpgradeStopped || p == UpgradeSucceeded
}

// UpgradeCause is the reason why an upgrade does not reach its target. A newer operator may add values.
type UpgradeCause string

const (
	// CauseFailed: more members of a wave failed than its maxFailures allows. The target is not retried automatically.
	CauseFailed UpgradeCause = "Failed"
	// CauseRejected: a person rejected a wave. The target is not retried automatically.
	CauseRejected UpgradeCause = "Rejected"
	// CauseAborted: spec.upgrade.state or the annotation was Abort. The target starts again when neither is Abort any more.
	CauseAborted UpgradeCause = "Aborted"
	// CauseSuperseded: the spec asks for another target, which starts from what each member runs. This target starts again when
	// the spec asks for it again.
	CauseSuperseded UpgradeCause = "Superseded"
)

// MeshUpgradeStatus is the state of an upgrade. The details of each member are in MeshMember.status.rollout.
type MeshUpgradeStatus struct {
	// observedGeneration is the generation of the object that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions are `Ready` and `Succeeded`, and also `Reconciling` or `Stalled` while these are True.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=32
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// phase is a summary of the state: `Planning`, `Planned`, `Running`, `WaitingForApproval`, `WaitingForWindow`, `Paused`,
	// `RollingBack` or `Stopping`, and when the upgrade is over `Succeeded`, `RolledBack` or `Stopped`. A newer operator may
	// add values. Use the condition Succeeded to detect whether the upgrade is over. Empty: the upgrade was just created.
	// +optional
	Phase UpgradePhase `json:"phase,omitempty"`
	// wave is the name of the current wave.
	// +optional
	Wave string `json:"wave,omitempty"`
	// message contains what is happening, or the reason of a wait. It names the gate that failed.
	// +optional
	Message string `json:"message,omitempty"`
	// cause is why members are rolled back, or why the upgrade stops: `Failed`, `Rejected`, `Aborted` or `Superseded`. A newer
	// operator may add values. Empty: no member is rolled back, and the upgrade does not stop.
	// +optional
	Cause UpgradeCause `json:"cause,omitempty"`
	// causeDetail names the wave, the member, the stage and the gate that failed, or the other reason why the upgrade ended.
	// +optional
	CauseDetail string `json:"causeDetail,omitempty"`
	// failed are the members that failed. They are rolled back, or are being rolled back.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	Failed []string `json:"failed,omitempty"`
	// plan contains what the upgrade would change, with the modes Plan and Locked.
	// +optional
	Plan *UpgradePlan `json:"plan,omitempty"`
	// waves are the numbers of members of each wave.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Waves []WaveStatus `json:"waves,omitempty"`
	// interventions are the newest 20 interventions of people, oldest first. Each is recorded when it takes effect.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Interventions []Intervention `json:"interventions,omitempty"`
	// startedAt is the time at which the upgrade started.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// finishedAt is the time at which the upgrade ended.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
}

// UpgradePlan is a summary of what an upgrade would change. The details of each member are in MeshMember.status.rollout.
type UpgradePlan struct {
	// hash identifies the plan. It covers the target, the waves with their members and settings, and the objects of each member
	// after the upgrade. It does not cover what may change from minute to minute, such as numbers of pods.
	// +optional
	Hash string `json:"hash,omitempty"`
	// members is the number of members that are planned.
	// +optional
	Members int32 `json:"members"`
	// blocked are the members with a preflight check that does not pass.
	// +optional
	Blocked Sample `json:"blocked,omitzero"`
	// added is the number of operator objects that are created, in all members together.
	// +optional
	Added int32 `json:"added"`
	// changed is the number of operator objects that are changed, in all members together.
	// +optional
	Changed int32 `json:"changed"`
	// removed is the number of operator objects that are removed, in all members together.
	// +optional
	Removed int32 `json:"removed"`
	// restarts is the number of workloads that will be restarted.
	// +optional
	Restarts int32 `json:"restarts"`
	// pods is the number of pods of the workloads that will be restarted.
	// +optional
	Pods int32 `json:"pods"`
	// budgets is the number of PodDisruptionBudgets that allow no disruption now.
	// +optional
	Budgets int32 `json:"budgets"`
	// fragile is the number of workloads that lose requests at any restart.
	// +optional
	Fragile int32 `json:"fragile"`
}

// WaveStatus contains the numbers of members and the times of a wave.
type WaveStatus struct {
	// name is the name of the wave.
	// +required
	Name string `json:"name"`
	// total is the number of members.
	// +required
	Total int32 `json:"total"`
	// moved is the number of members whose workloads run on the target.
	// +required
	Moved int32 `json:"moved"`
	// finished is the number of members that removed the old revision while the upgrade was running.
	// +required
	Finished int32 `json:"finished"`
	// failed is the number of members that failed.
	// +required
	Failed int32 `json:"failed"`
	// soakingSince is the time at which the last member of the wave was moved.
	// +optional
	SoakingSince *metav1.Time `json:"soakingSince,omitempty"`
	// startedAt is the time at which the wave started: the waves before it had soaked, it was approved, and its window was
	// open.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// finishedAt is the time at which the wave was over: it had soaked, or its members were rolled back.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
	// approvedAt is the time at which an approval let the wave start. Empty: no approval was needed, or none was given yet.
	// +optional
	ApprovedAt *metav1.Time `json:"approvedAt,omitempty"`
	// opensAt is the time at which the maintenance window opens that members of the wave wait for.
	// +optional
	OpensAt *metav1.Time `json:"opensAt,omitempty"`
}
