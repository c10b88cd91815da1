package v1alpha1

// Condition types. Ready, Reconciling and Stalled follow kstatus, on every kind: Reconciling and Stalled exist only when
// True. Where nothing else is said, a type is one of MeshInstallation and MeshMember.
const (
	// ConditionReady sums up. MeshInstallation and MeshMember: True when everything below holds for the observed generation.
	// MeshUpgrade: True when it has succeeded. MeshApproval: True when nothing more will happen to it.
	ConditionReady = "Ready"
	// ConditionReconciling is True while the operator works or waits.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True when only a change by a person helps. MeshUpgrade: also when it is over without success.
	ConditionStalled = "Stalled"
	// ConditionSucceeded is Unknown until an upgrade is over; then it is True when every wave has soaked, and False otherwise.
	// MeshUpgrade only.
	ConditionSucceeded = "Succeeded"
	// ConditionUsed is True when the upgrade has acted on the decision. MeshApproval only.
	ConditionUsed = "Used"
	// ConditionAvailable is True while a control plane serves.
	ConditionAvailable = "Available"
	// ConditionReachable is True while the member's API server answers. MeshMember only.
	ConditionReachable = "Reachable"
	// ConditionTrustRootReady is True when the mesh's root is in force.
	ConditionTrustRootReady = "TrustRootReady"
	// ConditionControlPlanesReady is True when every wanted istiod serves.
	ConditionControlPlanesReady = "ControlPlanesReady"
	// ConditionGatewaysReady is True when the east-west gateways serve and are announced.
	ConditionGatewaysReady = "GatewaysReady"
	// ConditionDiscoveryReady is True when istiod has synced every peer.
	ConditionDiscoveryReady = "DiscoveryReady"
	// ConditionHubSecretsProtected is True when no peer can read the Secrets of the hub by the token with which it reads a member.
	// Ready does not depend on it.
	ConditionHubSecretsProtected = "HubSecretsProtected"
	// ConditionTagsCurrent is True when members have no tags but those that spec.dataPlane.tags names. Ready does not depend on it.
	ConditionTagsCurrent = "TagsCurrent"
)

// Reasons of the conditions.
const (
	// ReasonReady: everything holds.
	ReasonReady = "Ready"
	// ReasonProgressing: the operator works or waits for what it has written.
	ReasonProgressing = "Progressing"
	// ReasonWaitingForMembers: some members are not ready yet; the message names them.
	ReasonWaitingForMembers = "WaitingForMembers"
	// ReasonRetrying: a call failed and is tried again.
	ReasonRetrying = "Retrying"
	// ReasonDeleting: the object is being deleted.
	ReasonDeleting = "Deleting"
	// ReasonWaitingForWorkloads: a member that is to leave still has pods with a proxy of the mesh; the message counts them.
	ReasonWaitingForWorkloads = "WaitingForWorkloads"
	// ReasonRestoring: a MeshMember that was deleted is being made again, or what its cluster runs is being found out.
	ReasonRestoring = "Restoring"
	// ReasonConnected: the API server answers.
	ReasonConnected = "Connected"
	// ReasonConnecting: the first connection is being made.
	ReasonConnecting = "Connecting"
	// ReasonConnectionDown: the API server does not answer; what it last said is kept.
	ReasonConnectionDown = "ConnectionDown"
	// ReasonKubeconfigMissing: the Secret or the key that clusterRef names does not exist.
	ReasonKubeconfigMissing = "KubeconfigMissing"
	// ReasonKubeconfigInvalid: the kubeconfig cannot be parsed or uses what the operator does not run (exec plugins, files).
	ReasonKubeconfigInvalid = "KubeconfigInvalid"
	// ReasonUnauthorized: the API server refuses the credential; it may have expired.
	ReasonUnauthorized = "Unauthorized"
	// ReasonPermissionDenied: the credential lacks permissions of config/member-rbac.
	ReasonPermissionDenied = "PermissionDenied"
	// ReasonClusterClaimed: the cluster belongs to another member or mesh already.
	ReasonClusterClaimed = "ClusterClaimed"
	// ReasonForeignRoot: the member has a root of trust that is not this mesh's.
	ReasonForeignRoot = "ForeignRoot"
	// ReasonRootMissing: the hub has lost the mesh's root: its Secret does not exist, or has no certificate or no key.
	ReasonRootMissing = "RootMissing"
	// ReasonRootChanged: the hub has, or its issuer signs with, another root than the one that is pinned; the message has both.
	ReasonRootChanged = "RootChanged"
	// ReasonForeignControlPlane: the member has an istiod that the operator did not install.
	ReasonForeignControlPlane = "ForeignControlPlane"
	// ReasonObjectConflict: an object of that name exists which the operator did not create.
	ReasonObjectConflict = "ObjectConflict"
	// ReasonObjectInvalid: the API server finds an object invalid that comes from the user's values.
	ReasonObjectInvalid = "ObjectInvalid"
	// ReasonAdmissionDenied: a policy or an admission webhook of the member denied an object.
	ReasonAdmissionDenied = "AdmissionDenied"
	// ReasonQuotaExceeded: a ResourceQuota of the member does not allow an object.
	ReasonQuotaExceeded = "QuotaExceeded"
	// ReasonRootNotInForce: workloads are not yet given the mesh's root.
	ReasonRootNotInForce = "RootNotInForce"
	// ReasonWaitingForCertificate: cert-manager has not issued yet.
	ReasonWaitingForCertificate = "WaitingForCertificate"
	// ReasonInvalidValues: the charts do not render with the user's values.
	ReasonInvalidValues = "InvalidValues"
	// ReasonVersionUnsupported: the operator has no charts for the version.
	ReasonVersionUnsupported = "VersionUnsupported"
	// ReasonUpgrading: a MeshUpgrade is under way.
	ReasonUpgrading = "Upgrading"
	// ReasonUpgradePlanned: what the spec asks for is planned, or is being planned, and spec.upgrade.mode does not let it start.
	ReasonUpgradePlanned = "UpgradePlanned"
	// ReasonPlanRefused: the plan is not the one whose hash spec.upgrade.planHash quotes; the message has both.
	ReasonPlanRefused = "PlanRefused"
	// ReasonUpgradePaused: a MeshUpgrade is paused. Of a MeshUpgrade: because somebody asked for it. Of a MeshInstallation: for
	// any reason; the message says which.
	ReasonUpgradePaused = "UpgradePaused"
	// ReasonWaitingForApproval: the next wave of a MeshUpgrade needs an answer to its MeshApproval.
	ReasonWaitingForApproval = "WaitingForApproval"
	// ReasonWaitingForWindow: the next member of a MeshUpgrade starts when a maintenance window opens; the message says when.
	ReasonWaitingForWindow = "WaitingForWindow"
	// ReasonRollingBack: a MeshUpgrade failed or was aborted, and members go back.
	ReasonRollingBack = "RollingBack"
	// ReasonUpgradeStopping: a MeshUpgrade failed, a part of its members goes back, and the others finish what they have begun.
	ReasonUpgradeStopping = "UpgradeStopping"
	// ReasonUpgradeFailed: the target that the spec asks for has failed before; the mesh runs the former one.
	ReasonUpgradeFailed = "UpgradeFailed"
	// ReasonUpgradeBlocked: the members cannot go to what the spec asks for; the message names everything that is in the way.
	ReasonUpgradeBlocked = "UpgradeBlocked"
	// ReasonUpgradeAborted: spec.upgrade.state is Abort, or the annotation of a MeshUpgrade that was aborted still says so; the
	// change that the spec asks for does not start.
	ReasonUpgradeAborted = "UpgradeAborted"
	// ReasonUpgradeSucceeded: every wave of the MeshUpgrade has soaked.
	ReasonUpgradeSucceeded = "UpgradeSucceeded"
	// ReasonUpgradeRejected: a person rejected a wave of the MeshUpgrade, which is over.
	ReasonUpgradeRejected = "UpgradeRejected"
	// ReasonUpgradeSuperseded: the MeshUpgrade is over because the spec asked for another target.
	ReasonUpgradeSuperseded = "UpgradeSuperseded"
	// ReasonMembersFailed: more members of a wave failed than it allows, and onFailure is Pause.
	ReasonMembersFailed = "MembersFailed"
	// ReasonGatesInconclusive: gates of a member have not enough to tell, or could not be asked.
	ReasonGatesInconclusive = "GatesInconclusive"
	// ReasonMembersNotReporting: the MeshUpgrade waits for members that cannot be reached or report nothing.
	ReasonMembersNotReporting = "MembersNotReporting"
	// ReasonPreflightBlocked: the preflight of members found what is in the way, and no member of the wave changes.
	ReasonPreflightBlocked = "PreflightBlocked"
	// ReasonWaitingForDecision: nobody has answered the MeshApproval.
	ReasonWaitingForDecision = "WaitingForDecision"
	// ReasonWaitingForUpgrade: the MeshApproval is answered, and its MeshUpgrade has not acted on it yet.
	ReasonWaitingForUpgrade = "WaitingForUpgrade"
	// ReasonWaveApproved: the approval has let the wave start.
	ReasonWaveApproved = "WaveApproved"
	// ReasonWaveRejected: the rejection has ended the MeshUpgrade.
	ReasonWaveRejected = "WaveRejected"
	// ReasonNotNeeded: the MeshUpgrade ended, or began the wave, without the decision.
	ReasonNotNeeded = "NotNeeded"
	// ReasonInvalidWaves: the waves do not hold every member exactly once.
	ReasonInvalidWaves = "InvalidWaves"
	// ReasonWaitingForIstiod: istiod is not rolled out, or its webhooks are not armed yet.
	ReasonWaitingForIstiod = "WaitingForIstiod"
	// ReasonWaitingForGateway: the gateway's pods do not serve yet.
	ReasonWaitingForGateway = "WaitingForGateway"
	// ReasonWaitingForAddress: the gateway's Service has no address yet.
	ReasonWaitingForAddress = "WaitingForAddress"
	// ReasonWaitingForPeers: peers have not published their reader credentials, or istiod has not synced them.
	ReasonWaitingForPeers = "WaitingForPeers"
	// ReasonHubSecretsReadable: the member is the hub, and peers would read, or can read, all its Secrets; the message says which.
	ReasonHubSecretsReadable = "HubSecretsReadable"
	// ReasonTagInUse: a tag that spec.dataPlane.tags no longer names stays because something in the member still names it.
	ReasonTagInUse = "TagInUse"
	// ReasonPeerStuck: istiod reads a peer no more and must be restarted.
	ReasonPeerStuck = "PeerStuck"
	// ReasonRemoteSecretChanged: the API server or the CA of a peer has changed, and istiod must be restarted with it.
	ReasonRemoteSecretChanged = "RemoteSecretChanged"
	// ReasonTokensInline: the remote secrets contain tokens that end, and istiod must be restarted once to read them from files.
	ReasonTokensInline = "TokensInline"
	// ReasonRestartingIstiod: istiod is being restarted to repair discovery.
	ReasonRestartingIstiod = "RestartingIstiod"
	// ReasonDeadlineExceeded: a wait took longer than its deadline; the message says for what.
	ReasonDeadlineExceeded = "DeadlineExceeded"
)

const (
	// LabelInstallation on an object names its MeshInstallation as `<namespace>.<name>` in members, and `<name>` on
	// the hub.
	LabelInstallation = "mesh.meshfleet.io/installation"
	// LabelMember on a hub object names the member.
	LabelMember = "mesh.meshfleet.io/member"
	// LabelComponent names the component whose inventory holds the object.
	LabelComponent = "mesh.meshfleet.io/component"
	// Finalizer holds an object until what it stands for is removed.
	Finalizer = "mesh.meshfleet.io/finalizer"
)
