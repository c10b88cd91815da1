package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Stage is a stage of a member's upgrade. Each stage includes the stages before it. A newer operator may add values.
type Stage string

const (
	// StagePreflight runs the preflight checks and changes nothing.
	StagePreflight Stage = "Preflight"
	// StageInstall runs the new revision beside the old one and checks it with the gates before traffic.
	StageInstall Stage = "Install"
	// StageGateways replaces the east-west gateway by one of the new revision.
	StageGateways Stage = "Gateways"
	// StageWorkloads moves the tags to the new revision and restarts the workloads that have proxies of the old one.
	StageWorkloads Stage = "Workloads"
	// StageSoak checks that the member stays healthy for the soak time of its wave.
	StageSoak Stage = "Soak"
	// StageRetire removes the old revision.
	StageRetire Stage = "Retire"
	// StageRollback restores tags and gateway of the old revision and restarts the workloads that were moved.
	StageRollback Stage = "Rollback"
	// StageDiscard removes the new revision after StageRollback.
	StageDiscard Stage = "Discard"
)

// StageState is the state of a stage in a member. A newer operator may add values.
type StageState string

const (
	// StageProgressing: the stage is running or waiting.
	StageProgressing StageState = "Progressing"
	// StageDone: the stage is complete.
	StageDone StageState = "Done"
	// StageFailed: a gate failed, or the stage cannot succeed.
	StageFailed StageState = "Failed"
	// StageInconclusive: a gate cannot be evaluated. A person must look at it.
	StageInconclusive StageState = "Inconclusive"
)

// MemberRollout is the part of a member's work order that belongs to an upgrade.
type MemberRollout struct {
	// upgrade is the name of the MeshUpgrade.
	// +required
	Upgrade string `json:"upgrade"`
	// from is the old revision of the member. It is complete, so that the member can be rolled back even after the old revision
	// was removed.
	// +required
	From Revision `json:"from"`
	// to is the new revision of the member. It is complete, as it was when the upgrade of the member started.
	// +required
	To Revision `json:"to"`
	// stage is the ordered stage: `Preflight`, `Install`, `Gateways`, `Workloads`, `Soak` or `Retire`. In a rollback it is
	// `Rollback` or `Discard`. A newer operator may add values.
	// +required
	Stage Stage `json:"stage"`
	// cause is why the member is rolled back: `Failed`, `Rejected`, `Aborted` or `Superseded`. A newer operator may add values. With
	// `Failed` no PodDisruptionBudget blocks the rollback. Empty: the member is not rolled back.
	// +optional
	Cause UpgradeCause `json:"cause,omitempty"`
	// orderedAt is the time at which the stage was ordered.
	// +optional
	OrderedAt metav1.Time `json:"orderedAt,omitzero"`
	// gates are the gates of the upgrade.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Gates []Gate `json:"gates,omitempty"`
	// ignoreChecks are preflight checks that do not block the upgrade.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	IgnoreChecks []PreflightCheck `json:"ignoreChecks,omitempty"`
}

// MemberRolloutStatus is the state of an upgrade in a member.
type MemberRolloutStatus struct {
	// upgrade is the name of the MeshUpgrade.
	// +required
	Upgrade string `json:"upgrade"`
	// stage is the value of spec.rollout.stage that this status describes.
	// +required
	Stage Stage `json:"stage"`
	// state is the state of the stage: `Progressing`, `Done`, `Failed` or `Inconclusive`. A newer operator may add values.
	// +required
	State StageState `json:"state"`
	// since is the time at which the member first saw the order of this stage. It is set again when the stage is no longer
	// `Inconclusive`.
	// +required
	Since metav1.Time `json:"since"`
	// progress is the furthest point that the stage has reached.
	// +optional
	Progress StageProgress `json:"progress,omitzero"`
	// doneAt is the time at which the state became Done.
	// +optional
	DoneAt *metav1.Time `json:"doneAt,omitempty"`
	// tagsMovedAt is the time at which the member was ordered to move its tags to the new revision. Empty: it was not ordered.
	// +optional
	TagsMovedAt *metav1.Time `json:"tagsMovedAt,omitempty"`
	// message is the reason of a wait or of a failure, or what was done.
	// +optional
	Message string `json:"message,omitempty"`
	// gates are the last results of the gates. In the stage Preflight they are the results of its checks.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Gates []GateResult `json:"gates,omitempty"`
	// workloads are the numbers of workloads with proxies.
	// +optional
	Workloads WorkloadCounts `json:"workloads,omitzero"`
	// changes are the objects that the upgrade changes in the member, according to the preflight.
	// +optional
	Changes ObjectChanges `json:"changes,omitzero"`
	// forecast is the effect of the upgrade on workloads, according to the last preflight.
	// +optional
	Forecast RolloutForecast `json:"forecast,omitzero"`
}

// StageProgress is the furthest point that a stage has reached since it was ordered.
type StageProgress struct {
	// at is the time at which that point was reached. The progressDeadline of the wave counts from it.
	// +optional
	At *metav1.Time `json:"at,omitempty"`
	// workloads is the highest number of workloads that had moved.
	// +optional
	Workloads int32 `json:"workloads,omitempty"`
	// pods is the highest number of pods that served with a proxy of the ordered revision.
	// +optional
	Pods int32 `json:"pods,omitempty"`
	// gatewayStep is the step of the gateway's replacement. 1: the new gateway has an address. 2: its pods serve. 3: it is
	// announced to peers. 4: the old gateway is withdrawn. 5: the old gateway is removed.
	// +optional
	GatewayStep int32 `json:"gatewayStep,omitempty"`
}

// ObjectChanges compares the operator's objects in a member before and after an upgrade.
type ObjectChanges struct {
	// hash is the hash of the objects after the upgrade and of the names of the removed objects.
	// +optional
	Hash string `json:"hash,omitempty"`
	// added are the objects that are created, such as the new istiod.
	// +optional
	Added Sample `json:"added,omitzero"`
	// changed are the objects that keep their name and get another content, such as the tags.
	// +optional
	Changed Sample `json:"changed,omitzero"`
	// removed are the objects that are removed with the old revision.
	// +optional
	Removed Sample `json:"removed,omitzero"`
}

// RolloutForecast is the effect of an upgrade on the workloads of a member.
type RolloutForecast struct {
	// restarts are the workloads that will be restarted.
	// +optional
	Restarts Sample `json:"restarts,omitzero"`
	// pods is the number of their pods.
	// +optional
	Pods int32 `json:"pods,omitempty"`
	// budgets are the PodDisruptionBudgets of those workloads that allow no disruption now. The upgrade waits until they do.
	// +optional
	Budgets Sample `json:"budgets,omitzero"`
	// fragile are the workloads that lose requests at any restart, each with the reason.
	// +optional
	Fragile Sample `json:"fragile,omitzero"`
	// pinned are the objects whose label `istio.io/rev` names the old revision instead of a tag: namespaces and Gateways first,
	// then pod templates and pods. Their pods keep proxies of the old revision, and the old revision stays, until the label
	// names a tag.
	// +optional
	Pinned Sample `json:"pinned,omitzero"`
}

// Sample is a number of things with the names of the first ones.
type Sample struct {
	// count is the number of all things.
	// +optional
	Count int32 `json:"count,omitempty"`
	// names are the first ten names, sorted.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	Names []string `json:"names,omitempty"`
}

// WorkloadCounts contains the numbers of workloads with proxies in a member.
type WorkloadCounts struct {
	// total is the number of workloads that can be restarted.
	// +optional
	Total int32 `json:"total,omitempty"`
	// moved is the number of workloads that have only proxies of the ordered revision.
	// +optional
	Moved int32 `json:"moved,omitempty"`
	// movedPods is the number of pods of all workloads that serve with a proxy of the ordered revision.
	// +optional
	MovedPods int32 `json:"movedPods,omitempty"`
	// skipped are pods that the operator never restarts: bare pods, pods of Jobs, and pods that opted out of injection. One entry
	// names pods that no longer count, because they should have stopped more than a minute ago.
	// +optional
	Skipped Sample `json:"skipped,omitzero"`
}

// Verdict is the result of a gate. A newer operator may add values.
type Verdict string

const (
	// VerdictPass: the check passed.
	VerdictPass Verdict = "Pass"
	// VerdictFail: the check failed.
	VerdictFail Verdict = "Fail"
	// VerdictPending: a measurement is running, and the member waits for it. The gate does not pass yet.
	VerdictPending Verdict = "Pending"
	// VerdictInconclusive: there is not enough data. The gate does not pass.
	VerdictInconclusive Verdict = "Inconclusive"
	// VerdictError: the gate could not be evaluated.
	VerdictError Verdict = "Error"
)

// GateResult is the last result of one gate.
type GateResult struct {
	// name is the name of the gate.
	// +required
	Name string `json:"name"`
	// verdict is the result of the gate: `Pass`, `Fail`, `Pending` (a measurement is running), `Inconclusive` (not enough data)
	// or `Error` (the gate could not be evaluated). A newer operator may add values. Only `Pass` passes.
	// +required
	Verdict Verdict `json:"verdict"`
	// message contains what was measured and the bounds.
	// +optional
	Message string `json:"message,omitempty"`
	// value is the measured number, if the gate counts or measures.
	// +optional
	Value string `json:"value,omitempty"`
	// threshold is the bound of the value, such as `<= 0`.
	// +optional
	Threshold string `json:"threshold,omitempty"`
	// dryRun is true if the verdict blocks nothing and fails nothing.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`
	// askedAt is the time of the last evaluation, for gates with their own interval. Other gates are evaluated every few
	// seconds.
	// +optional
	AskedAt *metav1.Time `json:"askedAt,omitempty"`
	// measurements counts the measurements of a gate that measures more than once.
	// +optional
	Measurements *GateMeasurements `json:"measurements,omitempty"`
	// since is the time at which the verdict last changed.
	// +required
	Since metav1.Time `json:"since"`
}
