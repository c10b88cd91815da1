package envtest

import (
	"context"
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// playMembers plays the operator's other half and all clusters: each MeshMember reports what a member that is well would report of its work
// order, and that every stage of an upgrade is done.
func playMembers(t *testing.T, hub *cluster) {
	t.Helper()
	loop(t, hub, []client.Object{&meshv1alpha1.MeshMember{}}, func(ctx context.Context) error {
		list := &meshv1alpha1.MeshMemberList{}
		if err := hub.admin.List(ctx, list); err != nil {
			return err
		}
		var errs []error
		for i := range list.Items {
			errs = append(errs, playMember(ctx, hub.admin, &list.Items[i]))
		}
		return errors.Join(errs...)
	})
}

func playMember(ctx context.Context, c client.Client, m *meshv1alpha1.MeshMember) error {
	if !m.DeletionTimestamp.IsZero() {
		if controllerutil.RemoveFinalizer(m, meshv1alpha1.Finalizer) {
			return client.IgnoreNotFound(c.Update(ctx, m))
		}
		return nil
	}
	want := playedStatus(m)
	if equality.Semantic.DeepEqual(want, m.Status) {
		return nil
	}
	m.Status = want
	return c.Status().Update(ctx, m)
}

func playedStatus(m *meshv1alpha1.MeshMember) meshv1alpha1.MeshMemberStatus {
	since := m.CreationTimestamp
	st := meshv1alpha1.MeshMemberStatus{
		ObservedGeneration: m.Generation, ClusterUID: "uid-of-" + m.Spec.Cluster, KubernetesVersion: "v1.33.1",
		Gateway: meshv1alpha1.GatewayStatus{Name: "istio-eastwestgateway", Revision: m.Spec.GatewayRevision, Announced: &since},
		Trust:   meshv1alpha1.MemberTrustStatus{ClaimedRoot: &meshv1alpha1.ClaimedRoot{Fingerprints: m.Spec.PinnedRoot}, RootFingerprints: m.Spec.PinnedRoot},
	}
	for _, kind := range []string{
		meshv1alpha1.ConditionReachable, meshv1alpha1.ConditionTrustRootReady, meshv1alpha1.ConditionControlPlanesReady, meshv1alpha1.ConditionGatewaysReady,
		meshv1alpha1.ConditionDiscoveryReady, meshv1alpha1.ConditionReady, meshv1alpha1.ConditionAvailable,
	} {
		st.Conditions = append(st.Conditions, metav1.Condition{
			Type: kind, Status: metav1.ConditionTrue, Reason: meshv1alpha1.ReasonReady, Message: "played", ObservedGeneration: m.Generation, LastTransitionTime: since,
		})
	}
	if len(m.Spec.PinnedRoot) > 0 {
		for _, r := range m.Spec.Revisions {
			st.Revisions = append(st.Revisions, meshv1alpha1.RevisionStatus{Name: r.Name, Version: r.Version, ReadyReplicas: 1})
		}
	}
	for _, peer := range m.Spec.Peers {
		st.Discovery.Peers = append(st.Discovery.Peers, meshv1alpha1.PeerStatus{Name: peer.Name, State: meshv1alpha1.PeerSynced, Marker: "240.0.0.1"})
	}
	st.Discovery.SyncedPeers = int32(len(m.Spec.Peers))
	if o := m.Spec.Rollout; o != nil {
		st.Rollout = &meshv1alpha1.MemberRolloutStatus{Upgrade: o.Upgrade, Stage: o.Stage, State: meshv1alpha1.StageDone, Since: o.OrderedAt, DoneAt: &o.OrderedAt}
	}
	if m.Spec.Removal != "" {
		st.Removal = &meshv1alpha1.MemberRemovalStatus{}
	}
	return st
}
