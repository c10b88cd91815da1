package member

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/hub"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/istio/istiod"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/metrics"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/parts/controlplane"
	"github.com/meshfleet/meshfleet/internal/parts/workloads"
	"github.com/meshfleet/meshfleet/internal/peercache"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/status"
)

const (
	// reverify is how often a member that is ready proves again that its peers are synced. With stuckAfter it bounds the time until
	// a peer that istiod reads no more is found.
	reverify = time.Minute
)

// Fleet is the part of the member connections that the reconciler needs.
type Fleet interface {
	Ensure(key types.NamespacedName, src fleet.Source) error
	State(key types.NamespacedName) (fleet.State, bool)
	Member(key types.NamespacedName) (*fleet.Member, error)
	Remove(key types.NamespacedName)
}

// Istiod answers for one istiod pod.
type Istiod interface {
	// Clusters that it reads.
	Clusters(ctx context.Context, cfg *rest.Config, namespace, pod string) ([]istiod.RemoteCluster, error)
	// Gateways of networks that it knows.
	Gateways(ctx context.Context, cfg *rest.Config, namespace, pod string) ([]istiod.NetworkGateway, error)
	// Proxies that are connected to it.
	Proxies(ctx context.Context, cfg *rest.Config, namespace, pod string) ([]istiod.Proxy, error)
	// Addresses of one Service of its own namespace that it knows, by cluster.
	Addresses(ctx context.Context, cfg *rest.Config, namespace, pod, name string) (map[string][]string, error)
	// ClusterEndpoints that it knows of one cluster.
	ClusterEndpoints(ctx context.Context, cfg *rest.Config, namespace, pod, cluster string) (map[string][]string, error)
}

// Reconciler makes one member look like its work order.
type Reconciler struct {
	// Client reads and writes the hub; reads come from its caches.
	Client client.Client
	// HubUID identifies the hub in members: the UID of its kube-system namespace.
	HubUID string
	// Fleet connects members.
	Fleet Fleet
	// Charts renders Istio's charts.
	Charts charts.Renderer
	// Istiod asks istiod pods.
	Istiod Istiod
	// Events records transitions.
	Events events.EventRecorder
	// Now is the clock.
	Now func() time.Time

	members sync.Map     // types.NamespacedName → *memberState
	enqueue atomic.Value // func(types.NamespacedName)
	// endpoints has what members have of their own services, orphans their pods with proxies that only a peer could serve.
	endpoints peercache.Cache[peercache.Hosts]
	orphans   peercache.Cache[map[string]users]
}

// memberState is what the reconciler keeps in memory for a member. Losing it costs reads, nothing else.
type memberState struct {
	connection *fleet.Member
	applier    *apply.Applier
	verified   verification
	told       telling
	serving    serveClock
	watching   bool
	surveyed   surveyed
	// retiring are the revisions that the work order no longer names, by name.
	retiring map[string]retirement
	tags     tagMemory
	// settled are the remote secrets that lead where they must, by peer.
	settled map[string]settledSecret
	// stuckSince is since when istiod has not read a peer though it could, by peer.
	stuckSince map[string]time.Time
	refused    refusedTarget
	tagsAt     time.Time
}

// scope is one pass over one member.
type scope struct {
	member *meshv1alpha1.MeshMember
	key    types.NamespacedName
	state  *memberState
	remote client.Client
	now    time.Time
	// mayGoOn says that the steps after serve make sense although it is not done: tags point at an istiod that serves.
	mayGoOn bool
	// peers and gateway are how these phases of this pass ended.
	peers, gateway phase.Result
	// users are the answers of usersOf in this pass, answers those of the gates.
	users   map[string]users
	answers []meshv1alpha1.GateResult
	// claimed is the claim as it was found. hasCertificate says that the member has a signing certificate of the mesh's root.
	claimed        map[string]string
	hasCertificate bool
	// gatewayStep is how far the replacement of the gateway is, see StageProgress.
	gatewayStep int32
	// changed are the peers whose remote secret must change, which takes a restart of istiod.
	changed []string
	// isAbandoned says that the MeshMember is being deleted and has no installation any more.
	isAbandoned bool
	// refused is what the API server has against the target of the upgrade under way.
	refused *apply.Refusal
	// wrote are the components of which something was written in this pass.
	wrote map[string]bool
	// withhold says that peers must not get a token of this cluster.
	withhold bool
	// names are the answer of readNames in this pass, aside the conditions that Ready does not depend on.
	names *workloads.Names
	aside []status.Outcome
}

func (s *scope) namespace() string { return s.member.Spec.ControlPlaneNamespace }

// owner identifies the installation on objects in members: label values may not contain a slash.
func (s *scope) owner() string { return s.member.Namespace + "." + s.member.Spec.Installation }

// Reconcile brings one member towards its work order and reports how far it is.
func (r *Reconciler) Reconcile(ctx context.Context, req mcreconcile.Request) (ctrl.Result, error) {
	member := &meshv1alpha1.MeshMember{}
	if err := r.Client.Get(ctx, req.NamespacedName, member); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if mesh.IsRestoring(member) {
		return ctrl.Result{RequeueAfter: outcome.ShortWait}, nil
	}
	before := member.DeepCopy()
	s := &scope{member: member, key: req.NamespacedName, now: r.Now()}
	var err error
	if s.isAbandoned, err = r.isAbandoned(ctx, member); err != nil {
		return ctrl.Result{}, err
	}
	if member.Spec.Removal == meshv1alpha1.RemovalNow {
		if member.DeletionTimestamp.IsZero() {
			// The installation deletes it next.
			return ctrl.Result{}, nil
		}
		return r.takeOut(ctx, s, before)
	}
	// A deletion that the installation has not ordered changes nothing: it makes the MeshMember again.
	outcomes := r.converge(ctx, s)
	if reconnecting(member, outcomes) {
		return ctrl.Result{}, nil
	}
	outcomes = r.leave(ctx, s, outcomes)
	if s.isAbandoned && r.mayGo(s) {
		return r.takeOut(ctx, s, before)
	}
	return r.finish(ctx, s, before, outcomes)
}

// takeOut takes the mesh out of a member, and lets its MeshMember go when that is done.
func (r *Reconciler) takeOut(ctx context.Context, s *scope, before *meshv1alpha1.MeshMember) (ctrl.Result, error) {
	result := r.remove(ctx, s)
	if result.Kind == phase.Done {
		return ctrl.Result{}, r.release(ctx, s)
	}
	return r.finish(ctx, s, before, []status.Outcome{{Result: result}})
}

// reconnecting says that a member which was reached before is being connected again, as after a restart of the
// operator. Its status stays as it is: the connection reports in seconds whether it holds.
func reconnecting(m *meshv1alpha1.MeshMember, outcomes []status.Outcome) bool {
	return m.Status.ClusterUID != "" && m.Status.ObservedGeneration == m.Generation &&
		outcomes[0].Result.Reason == meshv1alpha1.ReasonConnecting
}

// finish writes the status, if it changed, and says when to come back.
func (r *Reconciler) finish(ctx context.Context, s *scope, before *meshv1alpha1.MeshMember, outcomes []status.Outcome) (ctrl.Result, error) {
	member := s.member
	member.Status.ObservedGeneration = member.Generation
	status.Set(&member.Status.Conditions, member.Generation, outcomes, s.now)
	metrics.SetMemberState(s.key, stateOf(outcomes))
	if !equality.Semantic.DeepEqual(before.Status, member.Status) {
		// The MeshMember may be another object by now that was made again under its name.
		if err := r.Client.Status().Patch(ctx, member, hub.SameObject{Patch: client.MergeFrom(before)}); err != nil {
			return outcome.Written(err)
		}
		status.RecordMember(r.Events, before, member)
	}
	var errs []error
	for _, o := range outcomes {
		if o.Result.Kind == phase.Retry && !o.Unknown {
			errs = append(errs, o.Result.Err)
		}
	}
	if err := outcome.IgnoreConflict(errors.Join(errs...)); err != nil {
		return ctrl.Result{}, err
	}
	next := status.Next(outcomes)
	if len(errs) > 0 && next == 0 {
		next = outcome.ShortWait
	}
	return ctrl.Result{RequeueAfter: next}, nil
}

func stateOf(outcomes []status.Outcome) string {
	worst := status.Worst(outcomes)
	switch {
	case worst.Unknown:
		return metrics.StateUnreachable
	case worst.Result.Kind == phase.Done:
		return metrics.StateReady
	case worst.Result.Kind == phase.Wait:
		return metrics.StateProgressing
	case worst.Result.Kind == phase.Stalled:
		return metrics.StateStalled
	}
	return metrics.StateFailing
}

// connect makes sure that the member is connected and its state is at hand.
func (r *Reconciler) connect(ctx context.Context, s *scope) phase.Result {
	src, result := r.source(ctx, s)
	if result.Kind != phase.Done {
		if attached := r.attach(s); mesh.IsLeaving(s.member) && attached.Kind == phase.Done {
			// The kubeconfig's Secret may have been deleted along with the mesh; the connection made from it still works.
			return attached
		}
		return result
	}
	if err := r.Fleet.Ensure(s.key, src); err != nil {
		var bad *fleet.SourceError
		if errors.As(err, &bad) {
			return phase.Stall(bad.Reason, err)
		}
		return outcome.Failed(err)
	}
	return r.attach(s)
}

// attach takes the member's connection, if there is one.
func (r *Reconciler) attach(s *scope) phase.Result {
	st, _ := r.Fleet.State(s.key)
	connection, err := r.Fleet.Member(s.key)
	if err != nil {
		if st.Phase == fleet.Connecting {
			return phase.Waiting(meshv1alpha1.ReasonConnecting, "connecting to the member's API server", 0)
		}
		return phase.Retrying(st.Reason, errors.New(st.Message))
	}
	if known := s.member.Status.ClusterUID; known != "" && known != st.ClusterUID {
		return outcome.Stalled(meshv1alpha1.ReasonClusterClaimed, fmt.Errorf(
			"%w: clusterRef leads to another cluster than before; remove the member from the mesh and add the new cluster under another name", errClaimed))
	}
	s.state, s.remote = r.stateFor(s, connection), connection.Client
	s.member.Status.ClusterUID, s.member.Status.KubernetesVersion = st.ClusterUID, st.KubernetesVersion
	return phase.Complete(meshv1alpha1.ReasonConnected, "the API server answers")
}

// source reads how to reach the member.
func (r *Reconciler) source(ctx context.Context, s *scope) (fleet.Source, phase.Result) {
	ref := s.member.Spec.ClusterRef
	if ref.Local != nil {
		return fleet.Source{Local: true}, phase.Result{}
	}
	if ref.KubeconfigSecret == nil {
		return fleet.Source{}, phase.Stall(meshv1alpha1.ReasonKubeconfigMissing, errors.New("spec.clusterRef names no cluster"))
	}
	secret := &corev1.Secret{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: s.member.Namespace, Name: ref.KubeconfigSecret.Name}, secret)
	if client.IgnoreNotFound(err) != nil {
		return fleet.Source{}, outcome.Failed(err)
	}
	raw := secret.Data[ref.KubeconfigSecret.Key]
	if err != nil || len(raw) == 0 {
		return fleet.Source{}, phase.Waiting(meshv1alpha1.ReasonKubeconfigMissing,
			fmt.Sprintf("Secret %q with key %q does not exist in namespace %q", ref.KubeconfigSecret.Name, ref.KubeconfigSecret.Key, s.member.Namespace), 0)
	}
	return fleet.Source{Kubeconfig: raw}, phase.Result{}
}

func (r *Reconciler) stateFor(s *scope, connection *fleet.Member) *memberState {
	if v, ok := r.members.Load(s.key); ok {
		// Only this member's worker gets here, one pass at a time.
		if st := v.(*memberState); st.connection == connection {
			return st
		}
	}
	st := &memberState{connection: connection, applier: apply.New(connection.Client, connection.Cluster.GetCache(), apply.Owner{
		Installation: s.owner(), Namespace: s.namespace(),
	})}
	r.members.Store(s.key, st)
	return st
}

func (r *Reconciler) forget(key types.NamespacedName) {
	r.Fleet.Remove(key)
	r.members.Delete(key)
	r.endpoints.Forget(key)
	r.orphans.Forget(key)
	metrics.Forget(key)
}

// release lets the MeshMember go.
func (r *Reconciler) release(ctx context.Context, s *scope) error {
	before := s.member.DeepCopy()
	if controllerutil.RemoveFinalizer(s.member, meshv1alpha1.Finalizer) {
		if err := r.Client.Patch(ctx, s.member, hub.SameObject{Patch: client.MergeFrom(before)}); err != nil {
			return outcome.IgnoreGone(err)
		}
		log.FromContext(ctx).Info("Released member")
	}
	r.forget(s.key)
	return nil
}

// apply applies a component and counts what it wrote.
func (r *Reconciler) apply(ctx context.Context, s *scope, c apply.Component) error {
	wrote, err := s.state.applier.Apply(ctx, c)
	if len(wrote) > 0 {
		if s.wrote == nil {
			s.wrote = map[string]bool{}
		}
		s.wrote[c.Name] = true
		metrics.AddWrites(s.key, c.Name, len(wrote))
		log.FromContext(ctx).Info("Applied component", "component", c.Name, "count", len(wrote))
		log.FromContext(ctx).V(1).Info("Wrote objects", "component", c.Name, "diff", wrote)
	}
	if len(wrote) > 0 && c.Name == controlplane.Tags {
		s.state.tagsAt = s.now
	}
	noteRefusal(s, err)
	return err
}
