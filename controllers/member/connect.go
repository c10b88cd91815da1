package member

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
)

var errOtherCluster = errors.New("the cluster belongs to another member")

// connect makes sure that the member is connected and its state is at hand. A member that leaves is reached by the connection that there
// is, if what leads to it cannot be used any more: its kubeconfig's Secret may have been deleted along with the mesh.
func (r *Reconciler) connect(ctx context.Context, pass *member.Pass) phase.Result {
	result := r.reach(ctx, pass)
	if result.Kind != phase.Done && (mesh.IsLeaving(pass.Object) || !pass.Object.DeletionTimestamp.IsZero()) {
		if attached := r.attach(pass); attached.Kind == phase.Done {
			return attached
		}
	}
	return result
}

// reach connects the member as its clusterRef asks for.
func (r *Reconciler) reach(ctx context.Context, pass *member.Pass) phase.Result {
	src, result := r.source(ctx, pass)
	if result.Kind != phase.Done {
		return result
	}
	if err := r.Fleet.Ensure(pass.Key(), src); err != nil {
		var bad *fleet.SourceError
		if errors.As(err, &bad) {
			return phase.Stall(bad.Reason, err)
		}
		return outcome.Failed(err)
	}
	return r.attach(pass)
}

// attach takes the member's connection, if there is one.
func (r *Reconciler) attach(pass *member.Pass) phase.Result {
	st, _ := r.Fleet.State(pass.Key())
	connection, err := r.Fleet.Connection(pass.Key())
	if err != nil {
		if st.Phase == fleet.Connecting {
			return phase.Waiting(meshv1alpha1.ReasonConnecting, "connecting to the member's API server", 0)
		}
		return phase.Retrying(st.Reason, errors.New(st.Message))
	}
	if known := pass.Object.Status.ClusterUID; known != "" && known != st.ClusterUID {
		return outcome.Stalled(meshv1alpha1.ReasonClusterClaimed, fmt.Errorf(
			"%w: clusterRef leads to another cluster than before; remove the member from the mesh and add the new cluster under another name", errOtherCluster))
	}
	pass.Attach(r.states.Of(pass, connection))
	pass.Object.Status.ClusterUID, pass.Object.Status.KubernetesVersion = st.ClusterUID, st.KubernetesVersion
	return phase.Complete(meshv1alpha1.ReasonConnected, "the API server answers")
}

// source reads how to reach the member.
func (r *Reconciler) source(ctx context.Context, pass *member.Pass) (fleet.Source, phase.Result) {
	ref := pass.Object.Spec.ClusterRef
	if ref.Local != nil {
		return fleet.Source{Local: true}, phase.Result{}
	}
	if ref.KubeconfigSecret == nil {
		return fleet.Source{}, phase.Stall(meshv1alpha1.ReasonKubeconfigMissing, errors.New("spec.clusterRef names no cluster"))
	}
	secret := &corev1.Secret{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: pass.Object.Namespace, Name: ref.KubeconfigSecret.Name}, secret)
	if client.IgnoreNotFound(err) != nil {
		return fleet.Source{}, outcome.Failed(err)
	}
	raw := secret.Data[ref.KubeconfigSecret.Key]
	if err != nil || len(raw) == 0 {
		return fleet.Source{}, phase.Waiting(meshv1alpha1.ReasonKubeconfigMissing,
			fmt.Sprintf("Secret %q with key %q does not exist in namespace %q", ref.KubeconfigSecret.Name, ref.KubeconfigSecret.Key, pass.Object.Namespace), 0)
	}
	return fleet.Source{Kubeconfig: raw}, phase.Result{}
}
