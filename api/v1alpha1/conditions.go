package v1alpha1

// Condition types. Ready, Reconciling and Stalled follow kstatus on every kind: Reconciling and Stalled exist only while they
// are True. The other types exist on MeshInstallation and MeshMember, unless their comment names other kinds.
const (
	// ConditionReady is the summary. MeshInstallation and MeshMember: True when all components are up to date and ready for the
	// observed generation. MeshUpgrade: True when it has succeeded. MeshApproval: True when nothing more will happen to it.
	ConditionReady = "Ready"
	// ConditionReconciling is True while the operator works or waits.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True when a change by a person is needed. MeshUpgrade: also when it is over without success.
	ConditionStalled = "Stalled"
	// ConditionSucceeded is Unknown until an upgrade is over. Then it is True if every wave has soaked, and False otherwise.
	// MeshUpgrade only.
	ConditionSucceeded = "Succeeded"
	// ConditionAccepted is True while a MeshApproval belongs to a wave of a MeshUpgrade and has not expired. MeshApproval only.
	ConditionAccepted = "Accepted"
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
	// ConditionGatewaysReady is True when the east-west gateways serve and are announced, and Envoy has accepted their listeners.
	ConditionGatewaysReady = "GatewaysReady"
	// ConditionDiscoveryReady is True when istiod has synced every peer.
	ConditionDiscoveryReady = "DiscoveryReady"
	// ConditionHubSecretsProtected is True when no peer can read the Secrets of the hub with the token with which it reads a
	// member. Ready does not depend on it.
	ConditionHubSecretsProtected = "HubSecretsProtected"
	// ConditionTagsCurrent is True when members have only the tags of spec.dataPlane.tags. Ready does not depend on it.
	ConditionTagsCurrent = "TagsCurrent"
	// ConditionWatchesSynced is True when the operator watches every kind of objects that it makes in the member. Ready does not
	// depend on it. MeshMember only.
	ConditionWatchesSynced = "WatchesSynced"
	// ConditionCredentialCurrent is True when the credential with which the operator connects to a member does not expire soon.
	// Ready does not depend on it.
	ConditionCredentialCurrent = "CredentialCurrent"
	// ConditionTrustRootCurrent is True when the root of the mesh does not expire soon. Ready does not depend on it.
	// MeshInstallation only.
	ConditionTrustRootCurrent = "TrustRootCurrent"
	// ConditionReleaseSupported is True when upstream supports the releases that members run, on their Kubernetes, and they have no
	// known defect. Ready does not depend on it. MeshInstallation only.
	ConditionReleaseSupported = "ReleaseSupported"
	// ConditionHoldsCurrent is True when no member is held for longer than was agreed: `until` of no hold has passed. Ready does not
	// depend on it. MeshInstallation only.
	ConditionHoldsCurrent = "HoldsCurrent"
	// ConditionChartsReady is True when the operator has the charts of spec.version. MeshInstallation only.
	ConditionChartsReady = "ChartsReady"
	// ConditionSoleWriter is True when no other client keeps changing objects of the operator in the member. Ready does not
	// depend on it. MeshMember only.
	ConditionSoleWriter = "SoleWriter"
	// ConditionSidecarsRedirected is True when new sidecars can redirect traffic: the CNI plugin runs if the values need it. Ready does
	// not depend on it. MeshMember only.
	ConditionSidecarsRedirected = "SidecarsRedirected"
)

// Reasons of the conditions.
const (
	// ReasonReady: all components are up to date and ready.
	ReasonReady = "Ready"
	// ReasonProgressing: the operator works, or waits until its changes take effect.
	ReasonProgressing = "Progressing"
	// ReasonWaitingForMembers: some members are not ready yet. The message names them.
	ReasonWaitingForMembers = "WaitingForMembers"
	// ReasonRetrying: a call failed and is retried.
	ReasonRetrying = "Retrying"
	// ReasonDeleting: the object is being deleted.
	ReasonDeleting = "Deleting"
	// ReasonWaitingForWorkloads: a member that is being removed still has pods with a proxy of the mesh. The message contains
	// their number.
	ReasonWaitingForWorkloads = "WaitingForWorkloads"
	// ReasonRestoring: a deleted MeshMember is being created again, or the operator reads what its cluster runs.
	ReasonRestoring = "Restoring"
	// ReasonConnected: the API server answers.
	ReasonConnected = "Connected"
	// ReasonConnecting: the first connection is being made.
	ReasonConnecting = "Connecting"
	// ReasonWatchNotSynced: the API server has not listed some kinds for the operator's watches. Changes of such objects are found
	// by the periodic pass only. The message names the kinds.
	ReasonWatchNotSynced = "WatchNotSynced"
	// ReasonConnectionDown: the API server does not answer. Its last report is kept.
	ReasonConnectionDown = "ConnectionDown"
	// ReasonKubeconfigMissing: the Secret or the key in clusterRef does not exist.
	ReasonKubeconfigMissing = "KubeconfigMissing"
	// ReasonKubeconfigInvalid: the kubeconfig cannot be parsed, or uses settings that the operator does not accept (exec
	// plugins, files).
	ReasonKubeconfigInvalid = "KubeconfigInvalid"
	// ReasonUnauthorized: the API server rejects the credential. It may have expired.
	ReasonUnauthorized = "Unauthorized"
	// ReasonCredentialExpiring: less than 20 % of the lifetime of the credential for a member is left, and less than 7 days.
	ReasonCredentialExpiring = "CredentialExpiring"
	// ReasonCredentialNotRenewed: the Secret asks for automatic renewal of its token, and the renewal failed. The message contains
	// the cause.
	ReasonCredentialNotRenewed = "CredentialNotRenewed"
	// ReasonCredentialExpired: the credential for a member has expired.
	ReasonCredentialExpired = "CredentialExpired"
	// ReasonCredentialShortLived: the lifetime of the credential for a member is shorter than 6 hours.
	ReasonCredentialShortLived = "CredentialShortLived"
	// ReasonPermissionDenied: the credential lacks permissions of config/member-rbac.
	ReasonPermissionDenied = "PermissionDenied"
	// ReasonClusterClaimed: the cluster already belongs to another member or mesh.
	ReasonClusterClaimed = "ClusterClaimed"
	// ReasonForeignRoot: the member has another root of trust than the mesh.
	ReasonForeignRoot = "ForeignRoot"
	// ReasonRootMissing: the hub has lost the root of the mesh. Its Secret does not exist, or has no certificate or no key.
	ReasonRootMissing = "RootMissing"
	// ReasonRootChanged: the hub has another root than the pinned one, or its issuer signs with another root. The message
	// contains both.
	ReasonRootChanged = "RootChanged"
	// ReasonRootUnusable: the root, or an issuer below it, may not sign the intermediates of members. The message contains the
	// reason.
	ReasonRootUnusable = "RootUnusable"
	// ReasonRootExpiring: the root expires within a year and in less than 20 % of its lifetime, or before an intermediate that is
	// issued now.
	ReasonRootExpiring = "RootExpiring"
	// ReasonRootExpired: the root has expired.
	ReasonRootExpired = "RootExpired"
	// ReasonEndOfSupport: upstream gives no more security fixes for a release that members run.
	ReasonEndOfSupport = "EndOfSupport"
	// ReasonKnownDefect: a release that members run has a defect that users should know of. The message names it and its source.
	ReasonKnownDefect = "KnownDefect"
	// ReasonReleaseUnknown: members run a release of a minor version that this operator does not know.
	ReasonReleaseUnknown = "ReleaseUnknown"
	// ReasonUntested: members run a release of a minor version with which this operator was never run.
	ReasonUntested = "Untested"
	// ReasonKubernetesUnsupported: upstream does not support a release on the Kubernetes version of members that run it.
	ReasonKubernetesUnsupported = "KubernetesUnsupported"
	// ReasonChartsFetching: the charts of spec.version are being fetched.
	ReasonChartsFetching = "ChartsFetching"
	// ReasonChartNotFound: the source has no such chart. The message lists the nearest versions that it has.
	ReasonChartNotFound = "ChartNotFound"
	// ReasonChartsUnauthorized: the source refuses the credentials.
	ReasonChartsUnauthorized = "ChartsUnauthorized"
	// ReasonChartsTLS: the certificate of the source cannot be verified.
	ReasonChartsTLS = "ChartsTLS"
	// ReasonChartsUnreachable: the source does not answer, or answers with an error.
	ReasonChartsUnreachable = "ChartsUnreachable"
	// ReasonChartInvalid: what the source has is not the chart, or is too large.
	ReasonChartInvalid = "ChartInvalid"
	// ReasonChartUnsigned: a chart has no signature by spec.charts.verify.cosignPublicKey.
	ReasonChartUnsigned = "ChartUnsigned"
	// ReasonChartNotAllowed: the digest of a chart is not in spec.charts.verify.digests, or the operator does not allow the source.
	ReasonChartNotAllowed = "ChartNotAllowed"
	// ReasonChartMoved: the source has another chart under the same version than the one that is pinned. The message contains both
	// digests.
	ReasonChartMoved = "ChartMoved"
	// ReasonForeignControlPlane: the member has an istiod that the operator did not install.
	ReasonForeignControlPlane = "ForeignControlPlane"
	// ReasonObjectConflict: an object of that name exists that the operator did not create.
	ReasonObjectConflict = "ObjectConflict"
	// ReasonObjectInvalid: the API server rejects an object as invalid, because of the user's values.
	ReasonObjectInvalid = "ObjectInvalid"
	// ReasonAdmissionDenied: a policy or an admission webhook of the member denied an object.
	ReasonAdmissionDenied = "AdmissionDenied"
	// ReasonQuotaExceeded: a ResourceQuota of the member does not allow an object.
	ReasonQuotaExceeded = "QuotaExceeded"
	// ReasonRootNotInForce: istiod does not publish the mesh's root to workloads yet.
	ReasonRootNotInForce = "RootNotInForce"
	// ReasonWaitingForCertificate: cert-manager has not issued the certificate yet.
	ReasonWaitingForCertificate = "WaitingForCertificate"
	// ReasonInvalidValues: the charts do not render with the user's values.
	ReasonInvalidValues = "InvalidValues"
	// ReasonVersionUnsupported: the operator has no charts for the version.
	ReasonVersionUnsupported = "VersionUnsupported"
	// ReasonUpgrading: a MeshUpgrade is running.
	ReasonUpgrading = "Upgrading"
	// ReasonUpgradePlanned: the change in the spec is planned, or is being planned, and does not start because of
	// spec.upgrade.mode.
	ReasonUpgradePlanned = "UpgradePlanned"
	// ReasonPlanRefused: the hash of the plan differs from spec.upgrade.planHash. The message contains both.
	ReasonPlanRefused = "PlanRefused"
	// ReasonUpgradePaused: a MeshUpgrade is paused. On a MeshUpgrade: because a person paused it. On a MeshInstallation: for
	// any reason. The message contains the reason.
	ReasonUpgradePaused = "UpgradePaused"
	// ReasonWaitingForApproval: the next wave of a MeshUpgrade needs a decision in its MeshApproval.
	ReasonWaitingForApproval = "WaitingForApproval"
	// ReasonWaitingForWindow: the next member of a MeshUpgrade starts when a maintenance window opens. The message contains the
	// time.
	ReasonWaitingForWindow = "WaitingForWindow"
	// ReasonRollingBack: a MeshUpgrade failed or was aborted, and members are being rolled back.
	ReasonRollingBack = "RollingBack"
	// ReasonUpgradeStopping: some members of a MeshUpgrade are being rolled back, and no further member starts.
	ReasonUpgradeStopping = "UpgradeStopping"
	// ReasonUpgradeFailed: the target of the spec has failed before. The mesh runs the old target.
	ReasonUpgradeFailed = "UpgradeFailed"
	// ReasonUpgradeBlocked: the members cannot be upgraded to the target of the spec. The message contains all known problems.
	// MeshUpgrade: a member that is held runs a release that is too far from the target.
	ReasonUpgradeBlocked = "UpgradeBlocked"
	// ReasonMembersHeld: every member is held, and the spec asks for something else than they run. MeshUpgrade: every member that
	// it has not moved is held, and it has moved none.
	ReasonMembersHeld = "MembersHeld"
	// ReasonHoldOverdue: members are held although `until` of their holds has passed. The message names them.
	ReasonHoldOverdue = "HoldOverdue"
	// ReasonUpgradeAborted: spec.upgrade.state is Abort, or the annotation of an aborted MeshUpgrade is still Abort. The target
	// of the spec does not start.
	ReasonUpgradeAborted = "UpgradeAborted"
	// ReasonUpgradeSucceeded: every wave of the MeshUpgrade has soaked.
	ReasonUpgradeSucceeded = "UpgradeSucceeded"
	// ReasonUpgradeRejected: a person rejected a wave, and the MeshUpgrade is over.
	ReasonUpgradeRejected = "UpgradeRejected"
	// ReasonUpgradeSuperseded: the MeshUpgrade is over because the spec asked for another target.
	ReasonUpgradeSuperseded = "UpgradeSuperseded"
	// ReasonMembersFailed: more members of a wave failed than its maxFailures allows, and onFailure is Pause.
	ReasonMembersFailed = "MembersFailed"
	// ReasonGatesInconclusive: gates of a member do not have enough data, or could not be evaluated.
	ReasonGatesInconclusive = "GatesInconclusive"
	// ReasonMembersNotReporting: the MeshUpgrade waits for members that are unreachable or report nothing.
	ReasonMembersNotReporting = "MembersNotReporting"
	// ReasonPreflightBlocked: preflight checks of members failed, and no member of the wave changes.
	ReasonPreflightBlocked = "PreflightBlocked"
	// ReasonWaitingForDecision: the MeshApproval has no decision yet.
	ReasonWaitingForDecision = "WaitingForDecision"
	// ReasonWaitingForUpgrade: the MeshApproval has a decision, and its MeshUpgrade has not acted on it yet.
	ReasonWaitingForUpgrade = "WaitingForUpgrade"
	// ReasonWaveApproved: the wave started because of the approval.
	ReasonWaveApproved = "WaveApproved"
	// ReasonWaveRejected: the MeshUpgrade ended because of the rejection.
	ReasonWaveRejected = "WaveRejected"
	// ReasonAccepted: the MeshApproval belongs to a wave of its MeshUpgrade.
	ReasonAccepted = "Accepted"
	// ReasonApprovalExpired: the wave had not started when the approval expired. The operator has requested another one.
	ReasonApprovalExpired = "ApprovalExpired"
	// ReasonUpgradeMismatch: the MeshUpgrade of that name has another UID than spec.upgradeRef.uid, or does not have the wave.
	ReasonUpgradeMismatch = "UpgradeMismatch"
	// ReasonNotNeeded: the MeshUpgrade ended, or started the wave, without the decision.
	ReasonNotNeeded = "NotNeeded"
	// ReasonInvalidWaves: the waves do not contain every member exactly once.
	ReasonInvalidWaves = "InvalidWaves"
	// ReasonWaitingForIstiod: istiod is not rolled out, or its webhooks have no caBundle yet.
	ReasonWaitingForIstiod = "WaitingForIstiod"
	// ReasonWaitingForGateway: the gateway's pods do not serve yet.
	ReasonWaitingForGateway = "WaitingForGateway"
	// ReasonListenersRejected: Envoy in the gateway's pods rejects the listeners that istiod sends.
	ReasonListenersRejected = "ListenersRejected"
	// ReasonWaitingForAddress: the gateway's Service has no address yet.
	ReasonWaitingForAddress = "WaitingForAddress"
	// ReasonWaitingForPeers: peers have not published their reader credentials, or istiod has not synced them.
	ReasonWaitingForPeers = "WaitingForPeers"
	// ReasonAPIServerRequired: the kubeconfig of the member names a proxy, which peers do not use, and no peer has read the
	// member. spec.members[].apiServer is required.
	ReasonAPIServerRequired = "APIServerRequired"
	// ReasonHubSecretsReadable: the member is the hub, and peers could read, or can read, all its Secrets. The message contains
	// which of the two applies.
	ReasonHubSecretsReadable = "HubSecretsReadable"
	// ReasonCNIMissing: the values rely on Istio's CNI plugin, and it does not run in the member.
	ReasonCNIMissing = "CNIMissing"
	// ReasonObjectsContested: another client keeps changing objects of the operator in the member, such as the CRDs of Istio. The
	// message contains the client and the objects.
	ReasonObjectsContested = "ObjectsContested"
	// ReasonTagInUse: a tag that was removed from spec.dataPlane.tags stays, because something in the member still names it.
	ReasonTagInUse = "TagInUse"
	// ReasonPeerStuck: istiod no longer reads a peer and must be restarted.
	ReasonPeerStuck = "PeerStuck"
	// ReasonRemoteSecretChanged: the API server or the CA of a peer has changed, and istiod must be restarted to use the new
	// one.
	ReasonRemoteSecretChanged = "RemoteSecretChanged"
	// ReasonIntermediateNotInForce: istiod has not taken over a renewed intermediate and must be restarted.
	ReasonIntermediateNotInForce = "IntermediateNotInForce"
	// ReasonReaderTokenRejected: the member's API server does not accept the reader token that it has granted.
	ReasonReaderTokenRejected = "ReaderTokenRejected"
	// ReasonTokensInline: the remote secrets contain tokens that expire, and istiod must be restarted once to read them from
	// files.
	ReasonTokensInline = "TokensInline"
	// ReasonRestartingIstiod: istiod is being restarted. The message contains the reason.
	ReasonRestartingIstiod = "RestartingIstiod"
	// ReasonDeadlineExceeded: a wait took longer than its deadline. The message contains the reason of the wait.
	ReasonDeadlineExceeded = "DeadlineExceeded"
)

const (
	// LabelInstallation is the label with the MeshInstallation of an object: `<namespace>.<name>` in members, and `<name>` on
	// the hub.
	LabelInstallation = "mesh.meshfleet.io/installation"
	// LabelMember is the label with the member of an object on the hub.
	LabelMember = "mesh.meshfleet.io/member"
	// LabelChart is the label of a ConfigMap on the hub with a packaged chart. Its value is the name of the chart.
	LabelChart = "mesh.meshfleet.io/chart"
	// AnnotationChartVersion is the annotation with the version of a packaged chart.
	AnnotationChartVersion = "mesh.meshfleet.io/chart-version"
	// AnnotationChartDigest is the annotation with the digest of a packaged chart.
	AnnotationChartDigest = "mesh.meshfleet.io/chart-digest"
	// LabelComponent is the label with the component whose inventory contains the object.
	LabelComponent = "mesh.meshfleet.io/component"
	// LabelOrigin is the label of cluster-scoped objects in members: the UID of the namespace kube-system of the hub that first claimed the
	// member. Meshes of the same name on two hubs differ in it.
	LabelOrigin = "mesh.meshfleet.io/origin"
	// Finalizer keeps an object until everything that it stands for is removed.
	Finalizer = "mesh.meshfleet.io/finalizer"
)
