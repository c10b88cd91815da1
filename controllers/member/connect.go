package member

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/status"
)

var errOtherCluster = errors.New("the cluster belongs to another member")

// connect makes sure that the member is connected and its state is at hand. A member that leaves is reached by the connection that there
// is, if what leads to it cannot be used any more: its kubeconfig's Secret may have been deleted along with the mesh.
func (r *Reconciler) connect(ctx context.Context, pass *member.Pass) phase.Result {
	result := r.reach(ctx, pass)
	if st, ok := r.Fleet.State(pass.Key()); ok {
		renewal, err := r.credentials.Renew(ctx, pass)
		switch {
		case err != nil && result.Kind == phase.Done:
			result = outcome.Failed(err)
		case err != nil:
			log.FromContext(ctx).Error(err, "Could not read the Secret of a member that is not connected")
		}
		reportCredential(pass, st.Credential, renewal)
	}
	if result.Kind != phase.Done && (mesh.IsLeaving(pass.Object) || !pass.Object.DeletionTimestamp.IsZero()) {
		if attached := r.attach(ctx, pass); attached.Kind == phase.Done {
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
	return r.attach(ctx, pass)
}

// attach takes the member's connection, if there is one.
func (r *Reconciler) attach(ctx context.Context, pass *member.Pass) phase.Result {
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
	pass.Aside = append(pass.Aside, r.watchesSynced(ctx, pass))
	pass.Object.Status.ClusterUID, pass.Object.Status.KubernetesVersion = st.ClusterUID, st.KubernetesVersion
	return phase.Complete(meshv1alpha1.ReasonConnected, "the API server answers")
}

// watchDeadline is how long the watch of a kind may take until it has listed all objects.
const watchDeadline = time.Minute

// watchesSynced says which kinds are not watched although they should be. Their objects are read from the API server meanwhile.
func (r *Reconciler) watchesSynced(ctx context.Context, pass *member.Pass) status.Outcome {
	o := status.Outcome{Type: meshv1alpha1.ConditionWatchesSynced, Aside: true}
	kinds := r.parts.Kinds()
	if unsynced := pass.Metadata().Unsynced(ctx, kinds, watchDeadline, pass.Now); len(unsynced) > 0 {
		o.Result = phase.Waiting(meshv1alpha1.ReasonWatchNotSynced, fmt.Sprintf(
			"the API server has not listed %d of %d kinds for more than %s: %s; changes of these are found by the periodic pass only: "+
				"apply config/member-rbac of this release of the operator in the member, which allows to list and watch them",
			len(unsynced), len(kinds), watchDeadline, mesh.List(unsynced, len(unsynced))), outcome.Recheck)
		return o
	}
	o.Result = phase.Complete(meshv1alpha1.ReasonReady, fmt.Sprintf("%d kinds are watched", len(kinds)))
	return o
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
