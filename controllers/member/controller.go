package member

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/credential"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/hub"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/member"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/metrics"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/parts"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/queue"
	"github.com/meshfleet/meshfleet/internal/status"
)

// Fleet is the part of the member connections that the reconciler needs.
type Fleet interface {
	parts.Fleet
	Ensure(key types.NamespacedName, src fleet.Source) error
	Remove(key types.NamespacedName)
}

// Options are what a Reconciler needs. All but Concurrency are required.
type Options struct {
	// Client reads and writes the hub; reads come from its caches.
	Client client.Client
	// HubUID identifies the hub in members: the UID of its kube-system namespace.
	HubUID string
	// Fleet connects members.
	Fleet Fleet
	// Charts renders Istio's charts.
	Charts charts.Renderer
	// Values checks their values.
	Values charts.Checker
	// Istiod asks istiod pods.
	Istiod parts.Istiod
	// Events records transitions.
	Events events.EventRecorder
	// Now is the clock.
	Now func() time.Time
	// Concurrency is how many members are worked on at the same time. Zero: DefaultConcurrency.
	Concurrency int
}

// Reconciler makes one member look like its work order.
type Reconciler struct {
	Options
	queued
	looks

	parts  *parts.Set
	stages *stages
	// credentials renews those by which members are reached.
	credentials *credential.Renewer
	// written are the MeshMembers as they were last written.
	written hub.Written[*meshv1alpha1.MeshMember]
	// states have what is remembered of members between passes.
	states member.States
}

// queued is how members get into the queue, in which order, and how often.
type queued struct {
	watch watch
	// urgencies say which members come first.
	urgencies queue.Urgencies
	// pace spreads the passes that changes of other members cause.
	pace queue.Pace
}

// New makes a Reconciler.
func New(o Options) *Reconciler {
	r := &Reconciler{Options: o, credentials: &credential.Renewer{Hub: o.Client, WhoIs: credential.WhoIs}}
	r.parts = parts.New(parts.Deps{
		Hub: o.Client, HubUID: o.HubUID, Fleet: o.Fleet, Charts: o.Charts, Istiod: o.Istiod, WatchIstio: r.watch.istio,
	})
	r.stages = &stages{parts: r.parts, values: o.Values, peers: &peerReports{Hub: o.Client, Fleet: o.Fleet, Istiod: o.Istiod}}
	return r
}

// Reconcile brings one member towards its work order and reports how far it is.
func (r *Reconciler) Reconcile(ctx context.Context, req mcreconcile.Request) (ctrl.Result, error) {
	// multicluster-runtime does not name the object in logs, as controller-runtime does.
	ctx = log.IntoContext(ctx, log.FromContext(ctx).WithValues("MeshMember", req.NamespacedName))
	r.pace.Began(req.NamespacedName, time.Now())
	object := &meshv1alpha1.MeshMember{}
	if err := r.Client.Get(ctx, req.NamespacedName, object); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	object = r.written.Newest(object)
	r.urgencies.Note(object)
	if mesh.IsRestoring(object) {
		return ctrl.Result{RequeueAfter: outcome.ShortWait}, nil
	}
	before := object.DeepCopy()
	pass := &member.Pass{Object: object, Now: r.Now(), Hub: r.Client}
	isAbandoned, err := r.isAbandoned(ctx, object)
	if err != nil {
		return ctrl.Result{}, err
	}
	if object.Spec.Removal == meshv1alpha1.RemovalNow {
		if object.DeletionTimestamp.IsZero() {
			// The installation deletes it next.
			return ctrl.Result{}, nil
		}
		return r.takeOut(ctx, pass, before)
	}
	// A deletion that the installation has not ordered changes nothing: it makes the MeshMember again.
	outcomes := r.converge(ctx, pass)
	if reconnecting(object, outcomes) {
		return ctrl.Result{}, nil
	}
	outcomes = r.leave(ctx, pass, isAbandoned, outcomes)
	if isAbandoned && mayGo(pass) {
		return r.takeOut(ctx, pass, before)
	}
	return r.finish(ctx, pass, before, outcomes)
}

// takeOut takes the mesh out of a member, and lets its MeshMember go when that is done.
func (r *Reconciler) takeOut(ctx context.Context, pass *member.Pass, before *meshv1alpha1.MeshMember) (ctrl.Result, error) {
	result := r.remove(ctx, pass)
	if result.Kind == phase.Done {
		return ctrl.Result{}, r.release(ctx, pass)
	}
	return r.finish(ctx, pass, before, []status.Outcome{{Result: result}})
}

// reconnecting says that a member which was reached before is being connected again, as after a restart of the
// operator. Its status stays as it is: the connection reports in seconds whether it holds.
func reconnecting(m *meshv1alpha1.MeshMember, outcomes []status.Outcome) bool {
	return m.Status.ClusterUID != "" && m.Status.ObservedGeneration == m.Generation &&
		outcomes[0].Result.Reason == meshv1alpha1.ReasonConnecting
}

// finish writes the status, if it changed, and says when to come back.
func (r *Reconciler) finish(ctx context.Context, pass *member.Pass, before *meshv1alpha1.MeshMember, outcomes []status.Outcome) (ctrl.Result, error) {
	object := pass.Object
	object.Status.ObservedGeneration = object.Generation
	status.Set(&object.Status.Conditions, object.Generation, outcomes, pass.Now)
	status.Bound(&object.Status)
	metrics.SetMemberState(pass.Key(), stateOf(outcomes))
	if !equality.Semantic.DeepEqual(before.Status, object.Status) {
		// The MeshMember may be another object by now that was made again under its name.
		if err := r.Client.Status().Patch(ctx, object, hub.SameObject{Patch: client.MergeFrom(before)}); err != nil {
			return outcome.Written(err)
		}
		r.written.Note(object)
		status.RecordMember(r.Events, before, object)
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

func (r *Reconciler) forget(key types.NamespacedName) {
	r.Fleet.Remove(key)
	r.written.Forget(key)
	r.urgencies.Forget(key)
	r.pace.Forget(key)
	r.states.Forget(key)
	r.parts.Forget(key)
	r.stages.peers.forget(key)
	metrics.Forget(key)
}

// release lets the MeshMember go.
func (r *Reconciler) release(ctx context.Context, pass *member.Pass) error {
	before := pass.Object.DeepCopy()
	if controllerutil.RemoveFinalizer(pass.Object, meshv1alpha1.Finalizer) {
		if err := r.Client.Patch(ctx, pass.Object, hub.SameObject{Patch: client.MergeFrom(before)}); err != nil {
			return outcome.IgnoreGone(err)
		}
		log.FromContext(ctx).Info("Released member")
	}
	r.forget(pass.Key())
	return nil
}
