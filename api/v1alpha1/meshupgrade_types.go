package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MeshUpgrade is one attempt to bring a mesh to another version or to other control plane values. The operator
// makes it and keeps it as a record. People steer it by its annotation `mesh.meshfleet.io/action`: `Pause` or `Abort` while
// it is not over, `Retry` when it is.
//
// +kubebuilder:object:root=true
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

	// spec is the target and a snapshot of the strategy.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable: a MeshUpgrade is the record of an upgrade; change the MeshInstallation instead"
	Spec MeshUpgradeSpec `json:"spec"`
	// status is how far it is.
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

// MeshUpgradeSpec is the target of an upgrade and a snapshot of the strategy.
type MeshUpgradeSpec struct {
	// installation is the name of the MeshInstallation, in the same namespace.
	// +required
	Installation string `json:"installation"`
	// from is what the mesh runs.
	// +required
	From RevisionTarget `json:"from"`
	// to is what it shall run.
	// +required
	To RevisionTarget `json:"to"`
	// towards is the release that the installation asks for, when this upgrade is only a step to it: upstream does not
	// support leaving out more than one minor version.
	// +optional
	Towards string `json:"towards,omitempty"`
	// waves with their members, as planned when the upgrade began.
	// +required
	// +listType=map
	// +listMapKey=name
	Waves []PlannedWave `json:"waves"`
	// onFailure is the installation's at that time.
	// +required
	OnFailure FailureAction `json:"onFailure"`
	// rollbackScope is the installation's at that time. Default: `Upgrade`.
	// +optional
	RollbackScope RollbackScope `json:"rollbackScope,omitempty"`
	// gates are the installation's at that time.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Gates []Gate `json:"gates,omitempty"`
	// retry says which upgrade this one tries again, because a person asked for that. Empty: none.
	// +optional
	Retry *UpgradeRetry `json:"retry,omitempty"`
}

// RevisionTarget is one revision of the whole mesh.
type RevisionTarget struct {
	// revision is its name.
	// +required
	Revision string `json:"revision"`
	// version is the Istio release.
	// +required
	Version string `json:"version"`
	// hash of the version and all values, which identifies the target.
	// +required
	Hash string `json:"hash"`
	// sharedHash is over what does not change when members join or leave: the version, the values that all members share,
	// and the attempt.
	// +optional
	SharedHash string `json:"sharedHash,omitempty"`
	// attempt is the installation's at that time.
	// +optional
	Attempt int32 `json:"attempt,omitempty"`
	// ownValues are the hashes of the values of those members that have values of their own.
	// +optional
	// +listType=map
	// +listMapKey=member
	OwnValues []OwnValues `json:"ownValues,omitempty"`
}

// OwnValues identifies the values of a member that has values of its own.
type OwnValues struct {
	// member is its name.
	// +required
	Member string `json:"member"`
	// hash of the member's values, merged with those that all share.
	// +required
	Hash string `json:"hash"`
}

// PlannedWave is a wave with its members.
type PlannedWave struct {
	// name of the wave.
	// +required
	Name string `json:"name"`
	// members of the wave, in the order in which they go.
	// +required
	// +listType=atomic
	Members []string `json:"members"`
	// maxConcurrent is how many change at the same time.
	// +required
	MaxConcurrent int32 `json:"maxConcurrent"`
	// soak is how long the wave must have run well.
	// +required
	Soak metav1.Duration `json:"soak"`
	// progressDeadline is how long a member may work on a stage without progress.
	// +required
	ProgressDeadline metav1.Duration `json:"progressDeadline"`
	// maxFailures is how many members may fail.
	// +required
	MaxFailures int32 `json:"maxFailures"`
	// approval says whether a person must agree.
	// +required
	Approval ApprovalPolicy `json:"approval"`
	// window is when members may start. Default: at any time.
	// +optional
	Window *MaintenanceWindow `json:"window,omitempty"`
}

// UpgradePhase sums an upgrade up. A newer operator may have more; the conditions say whether it is over.
type UpgradePhase string

const (
	// UpgradePlanning: members are asked what would change. Nothing is touched.
	UpgradePlanning UpgradePhase = "Planning"
	// UpgradePlanned: the plan is complete. Nothing is touched until somebody lets it run.
	UpgradePlanned UpgradePhase = "Planned"
	// UpgradeRunning: members change, or soak.
	UpgradeRunning UpgradePhase = "Running"
	// UpgradeWaitingForApproval: the next wave needs a person's word.
	UpgradeWaitingForApproval UpgradePhase = "WaitingForApproval"
	// UpgradeWaitingForWindow: nobody changes, and the next member may start when its wave's maintenance window opens.
	UpgradeWaitingForWindow UpgradePhase = "WaitingForWindow"
	// UpgradePaused: a person asked for it, or must decide.
	UpgradePaused UpgradePhase = "Paused"
	// UpgradeRollingBack: members go back.
	UpgradeRollingBack UpgradePhase = "RollingBack"
	// UpgradeRolledBack: every member is back. A target that failed or was rejected is not tried again by itself.
	UpgradeRolledBack UpgradePhase = "RolledBack"
	// UpgradeStopping: no member starts any more, and a part of them goes back. Either a wave failed or was rejected, and the
	// rollback's scope is a part of the run: the others finish what they have begun. Or the spec asks for another target:
	// members that have moved stay, those that are half way go back.
	UpgradeStopping UpgradePhase = "Stopping"
	// UpgradeStopped: nobody changes any more, and members run different revisions. The target is not tried again by itself.
	UpgradeStopped UpgradePhase = "Stopped"
	// UpgradeSucceeded: every wave has soaked. What still uses the former revision keeps it in its member, see
	// MeshMember.status.retiring.
	UpgradeSucceeded UpgradePhase = "Succeeded"
)

// IsFinished says whether nothing more will happen.
func (p UpgradePhase) IsFinished() bool {
	return p == UpgradeRolledBack || p == UpgradeStopped || p == UpgradeSucceeded
}

// UpgradeCause says why an upgrade does not reach its target. A newer operator may have more.
type UpgradeCause string

const (
	// CauseFailed: more members failed than a wave allows. The target is not tried again by itself.
	CauseFailed UpgradeCause = "Failed"
	// CauseRejected: a person rejected a wave. The target is not tried again by itself.
	CauseRejected UpgradeCause = "Rejected"
	// CauseAborted: a person said Abort, in spec.upgrade.state or by annotation. The target starts again once nothing says so
	// any more.
	CauseAborted UpgradeCause = "Aborted"
	// CauseSuperseded: the spec asks for another target, which starts from what each member runs. This one starts again when
	// the spec asks for it again.
	CauseSuperseded UpgradeCause = "Superseded"
)

// MeshUpgradeStatus is how far an upgrade is. Detail per member is in MeshMember.status.rollout.
type MeshUpgradeStatus struct {
	// observedGeneration is the generation of the object that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions are `Ready` and `Succeeded`, and `Reconciling` or `Stalled` while they are True.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// phase sums up: `Planning`, `Planned`, `Running`, `WaitingForApproval`, `WaitingForWindow`, `Paused`, `RollingBack` or
	// `Stopping`, and when it is over `Succeeded`, `RolledBack` or `Stopped`. A newer operator may have more; the condition
	// Succeeded says whether it is over. Empty: it has just been made.
	// +optional
	Phase UpgradePhase `json:"phase,omitempty"`
	// wave that is under way.
	// +optional
	Wave string `json:"wave,omitempty"`
	// message says what happens or what is awaited, and names the gate that failed.
	// +optional
	Message string `json:"message,omitempty"`
	// cause says why members go back, or why the upgrade stops: `Failed`, `Rejected`, `Aborted` or `Superseded`. A newer
	// operator may have more. Empty: neither.
	// +optional
	Cause UpgradeCause `json:"cause,omitempty"`
	// causeDetail names the wave, the member, the stage and the gate that failed, or says what else ended the upgrade.
	// +optional
	CauseDetail string `json:"causeDetail,omitempty"`
	// failed are the members that failed; they are back on the former revision or on their way.
	// +optional
	// +listType=set
	Failed []string `json:"failed,omitempty"`
	// plan is what the upgrade would do, with the modes Plan and Locked.
	// +optional
	Plan *UpgradePlan `json:"plan,omitempty"`
	// waves counts members.
	// +optional
	// +listType=map
	// +listMapKey=name
	Waves []WaveStatus `json:"waves,omitempty"`
	// interventions are what people did to the upgrade, oldest first: the newest 20. Each is recorded when it takes effect.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Interventions []Intervention `json:"interventions,omitempty"`
	// startedAt is when it began.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// finishedAt is when it ended.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
}

// UpgradePlan sums up what an upgrade would do. Detail per member is in MeshMember.status.rollout.
type UpgradePlan struct {
	// hash identifies the plan: the target, the waves with their members and settings, and the objects of each member
	// after the upgrade. What may differ from minute to minute, such as numbers of pods, is not in it.
	// +optional
	Hash string `json:"hash,omitempty"`
	// members is the number of members that are planned.
	// +optional
	Members int32 `json:"members"`
	// blocked are the members with something in their way.
	// +optional
	Blocked Sample `json:"blocked,omitzero"`
	// added, changed and removed count the operator's objects in all members.
	// +optional
	Added int32 `json:"added"`
	// changed, see added.
	// +optional
	Changed int32 `json:"changed"`
	// removed, see added.
	// +optional
	Removed int32 `json:"removed"`
	// restarts is the number of workloads that will be restarted, pods that of their pods.
	// +optional
	Restarts int32 `json:"restarts"`
	// pods, see restarts.
	// +optional
	Pods int32 `json:"pods"`
	// budgets is the number of PodDisruptionBudgets that allow no disruption now.
	// +optional
	Budgets int32 `json:"budgets"`
	// fragile is the number of workloads that lose requests at any restart.
	// +optional
	Fragile int32 `json:"fragile"`
}

// WaveStatus counts the members of a wave.
type WaveStatus struct {
	// name of the wave.
	// +required
	Name string `json:"name"`
	// total number of members.
	// +required
	Total int32 `json:"total"`
	// moved is the number whose workloads are on the target.
	// +required
	Moved int32 `json:"moved"`
	// finished is the number that have retired the former revision while the upgrade was under way.
	// +required
	Finished int32 `json:"finished"`
	// failed is the number that failed.
	// +required
	Failed int32 `json:"failed"`
	// soakingSince is when the last member of the wave was moved.
	// +optional
	SoakingSince *metav1.Time `json:"soakingSince,omitempty"`
	// startedAt is when it was the wave's turn: the waves before it had soaked, it was approved, and its window was open.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// finishedAt is when the wave was over: it had soaked, or its members were back.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
	// approvedAt is when a person's approval let the wave go on. Empty: none was needed, or none has been given.
	// +optional
	ApprovedAt *metav1.Time `json:"approvedAt,omitempty"`
	// opensAt is when the maintenance window opens for which members of the wave wait.
	// +optional
	OpensAt *metav1.Time `json:"opensAt,omitempty"`
}

// MeshApproval asks people whether a wave may start. The operator makes it; people answer it. It is a kind of its own
// so that permissions for it can be given apart.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=meshfleet
// +kubebuilder:printcolumn:name="Upgrade",type=string,JSONPath=`.spec.upgrade`
// +kubebuilder:printcolumn:name="Wave",type=string,JSONPath=`.spec.wave`
// +kubebuilder:printcolumn:name="Decision",type=string,JSONPath=`.spec.decision`
// +kubebuilder:printcolumn:name="Used",type=string,JSONPath=`.status.conditions[?(@.type=="Used")].status`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type MeshApproval struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the question and its answer.
	// +required
	Spec MeshApprovalSpec `json:"spec"`
	// status is what became of the answer.
	// +optional
	Status MeshApprovalStatus `json:"status,omitzero"`
}

// MeshApprovalList is a list of MeshApprovals.
//
// +kubebuilder:object:root=true
type MeshApprovalList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MeshApproval `json:"items"`
}

// MeshApprovalSpec is a question and its answer.
//
// +kubebuilder:validation:XValidation:rule="self.upgrade == oldSelf.upgrade && self.wave == oldSelf.wave",message="spec.upgrade and spec.wave are immutable; only spec.decision can be changed"
// +kubebuilder:validation:XValidation:rule="oldSelf.decision == 'Pending' || self.decision == oldSelf.decision",message="spec.decision: Approved and Rejected are final; set the annotation mesh.meshfleet.io/action of the MeshUpgrade to Pause or Abort instead"
type MeshApprovalSpec struct {
	// upgrade is the name of the MeshUpgrade.
	// +required
	Upgrade string `json:"upgrade"`
	// wave that is to start.
	// +required
	Wave string `json:"wave"`
	// decision is `Pending` until you write `Approved` or `Rejected`. A rejection takes every touched member back.
	// +required
	Decision Decision `json:"decision"`
}

// MeshApprovalStatus is what became of an answer.
type MeshApprovalStatus struct {
	// observedGeneration is the generation of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions are `Ready` and `Used`, and `Reconciling` or `Stalled` while they are True.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Decision answers a MeshApproval.
//
// +kubebuilder:validation:Enum=Pending;Approved;Rejected
type Decision string

const (
	// DecisionPending: nobody has answered.
	DecisionPending Decision = "Pending"
	// DecisionApproved: the wave may start.
	DecisionApproved Decision = "Approved"
	// DecisionRejected: the upgrade goes back.
	DecisionRejected Decision = "Rejected"
)
