package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Stage is how far a member's upgrade is ordered to go. Each includes those before it. A newer operator may have more.
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
	// StageRollback points tags and gateway back at the old revision and restarts what was moved.
	StageRollback Stage = "Rollback"
	// StageDiscard removes the new revision after everything is back.
	StageDiscard Stage = "Discard"
)

// StageState is how a stage stands in a member. A newer operator may have more.
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
	// from is the revision that the member leaves, complete, so that the member can go back to it even after it is retired.
	// +required
	From Revision `json:"from"`
	// to is the revision that the member goes to, complete, as it was when the upgrade came to the member.
	// +required
	To Revision `json:"to"`
	// stage is how far to go: `Preflight`, `Install`, `Gateways`, `Workloads`, `Soak` or `Retire`, and on the way back `Rollback`
	// or `Discard`. A newer operator may have more.
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
	// stage that this is about, as spec.rollout.stage names it.
	// +required
	Stage Stage `json:"stage"`
	// state of the stage: `Progressing`, `Done`, `Failed` or `Inconclusive`. A newer operator may have more.
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

// Verdict is the answer of a gate. A newer operator may have more.
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
	// `Error` (it could not be asked). A newer operator may have more; only `Pass` passes.
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
