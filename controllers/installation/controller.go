package installation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/build"
	"github.com/meshfleet/meshfleet/internal/hub"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/metrics"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/queue"
	"github.com/meshfleet/meshfleet/internal/status"
)

// Reconciler plans the members of a mesh and sums up their state. It touches the hub only.
type Reconciler struct {
	// Client reads and writes the hub; reads come from its caches.
	Client client.Client
	// Events records transitions.
	Events events.EventRecorder
	// Now is the clock.
	Now func() time.Time
	// Concurrency is how many installations are worked on at the same time. Zero: DefaultConcurrency.
	Concurrency int
	// Charts finds the charts of releases. Nil: those in the operator's image only.
	Charts *Charts

	// written are the installations as they were last written.
	written hub.Written[*meshv1alpha1.MeshInstallation]
	// pace spreads the passes that changes of members cause.
	pace queue.Pace
	// began is when this process first drove an upgrade.
	began onceAt
}

// onceAt is the time at which something was asked for the first time.
type onceAt struct {
	once sync.Once
	at   time.Time
}

// watchedSince is from when on this process has seen what members report.
func (r *Reconciler) watchedSince() time.Time {
	r.began.once.Do(func() { r.began.at = r.Now() })
	return r.began.at
}

// Reconcile makes the hub's objects of one installation and writes its status.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	r.pace.Began(req.NamespacedName, time.Now())
	inst := &meshv1alpha1.MeshInstallation{}
	if err := r.Client.Get(ctx, req.NamespacedName, inst); err != nil {
		if apierrors.IsNotFound(err) {
			r.pace.Forget(req.NamespacedName)
			r.written.Forget(req.NamespacedName)
			metrics.ForgetInstallation(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	inst = r.written.Newest(inst)
	members, err := r.members(ctx, inst)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !inst.DeletionTimestamp.IsZero() {
		return r.remove(ctx, inst, members)
	}
	pending, err := r.restorer().restore(ctx, inst, members)
	if err != nil {
		return outcome.Written(err)
	}
	if controllerutil.AddFinalizer(inst, meshv1alpha1.Finalizer) {
		if err := r.Client.Update(ctx, inst); err != nil {
			return outcome.Written(err)
		}
	}
	before := inst.DeepCopy()
	if len(pending) > 0 {
		return r.awaitRestored(ctx, before, inst, pending, members)
	}
	return r.finish(ctx, before, inst, r.converge(ctx, inst, plan.Recovered(members)))
}

// members lists the members in the order of their names. The cache's own order differs each time, and a message that
// named now this and now that member would be written again and again.
//
// They share their memory with the cache and must not be changed, nor be given to a client that writes: their work orders and states
// name all other members, and a thousand of them are hundreds of megabytes.
func (r *Reconciler) members(ctx context.Context, inst *meshv1alpha1.MeshInstallation) ([]meshv1alpha1.MeshMember, error) {
	list := &meshv1alpha1.MeshMemberList{}
	if err := r.Client.List(ctx, list, client.InNamespace(inst.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	members := slices.DeleteFunc(list.Items, func(m meshv1alpha1.MeshMember) bool {
		return !mesh.IsMemberOf(&m, inst)
	})
	slices.SortFunc(members, func(a, b meshv1alpha1.MeshMember) int { return strings.Compare(a.Name, b.Name) })
	return members, nil
}

func (r *Reconciler) restorer() *restorer {
	return &restorer{client: r.Client, events: r.Events, now: r.Now()}
}

func (r *Reconciler) converge(ctx context.Context, inst *meshv1alpha1.MeshInstallation, members []meshv1alpha1.MeshMember) []status.Outcome {
	start := time.Now()
	certificates := r.certificates(ctx, inst, members)
	metrics.ObservePhase("meshinstallation", "certificates", time.Since(start))
	if holdsUp(certificates) {
		return []status.Outcome{{Type: meshv1alpha1.ConditionTrustRootReady, Result: certificates}}
	}
	start = time.Now()
	summarise(inst, members)
	chartsOutcome, isHeld := r.Charts.ensure(ctx, inst, members)
	if isHeld && !slices.ContainsFunc(members, func(m meshv1alpha1.MeshMember) bool { return mesh.HasServed(&m) }) {
		// Nothing serves yet, and nothing can be planned without charts.
		return []status.Outcome{chartsOutcome, {Type: meshv1alpha1.ConditionTrustRootReady, Result: certificates}}
	}
	run, told, err := r.upgrade(ctx, inst, members, isHeld)
	if err != nil {
		return []status.Outcome{{Result: outcome.Failed(err)}}
	}
	planned, err := plan.Members(inst, members, run)
	if err != nil {
		return []status.Outcome{{Result: phase.Stall(meshv1alpha1.ReasonInvalidValues, err)}}
	}
	waiting := plan.OrderRestarts(&planned, members, r.Now())
	if err := r.writeMembers(ctx, inst, planned, members); err != nil {
		return []status.Outcome{{Result: outcome.Failed(err)}}
	}
	if err := r.dropReaders(ctx, inst, planned, members); err != nil {
		return []status.Outcome{{Result: outcome.Failed(err)}}
	}
	metrics.ObservePhase("meshinstallation", "members", time.Since(start))
	expiry, err := r.rootExpiry(ctx, inst)
	if err != nil {
		return []status.Outcome{{Result: outcome.Failed(err)}}
	}
	outcomes := append(append(aggregate(inst, members), expiry...), support(inst, members, r.Now()), holds(inst, r.Now()), chartsOutcome)
	noteRestarts(outcomes, waiting)
	if certificates.Kind != phase.Done {
		// The members' TrustRootReady would only say that they wait for this, or nothing at all of what the hub has lost.
		outcomes[0].Result = certificates
	}
	if leaving, ok := leavingMembers(members); ok {
		outcomes = append(outcomes, leaving)
	}
	// What an upgrade does comes first: members that change are not ready because of it.
	return append(told, outcomes...)
}

// writeMembers writes the work orders that differ from the members that they were planned from. One that was planned from an older status
// than there is now is a conflict: a member may have reported meanwhile that it serves.
func (r *Reconciler) writeMembers(
	ctx context.Context, inst *meshv1alpha1.MeshInstallation, p plan.MembersPlan, members []meshv1alpha1.MeshMember,
) error {
	present := map[string]*meshv1alpha1.MeshMember{}
	for i := range members {
		present[members[i].Name] = &members[i]
	}
	for i := range p.Desired {
		want := &p.Desired[i]
		if isWritten(present[want.Name], want, inst) {
			continue
		}
		have := &meshv1alpha1.MeshMember{ObjectMeta: metav1.ObjectMeta{Name: want.Name, Namespace: want.Namespace}}
		if err := hub.Ensure(ctx, r.Client, inst, have, want.Labels, func() error {
			if have.ResourceVersion != want.ResourceVersion && !isSameOrder(&have.Spec, &want.Spec) {
				return changedMeanwhile(want.Name)
			}
			if have.ResourceVersion == "" {
				have.Finalizers = []string{meshv1alpha1.Finalizer}
			}
			// The answer of the API server is read into the memory of what is written.
			have.Spec = *want.Spec.DeepCopy()
			return nil
		}); err != nil {
			return err
		}
	}
	return r.writeLeaving(ctx, inst, p)
}

// isWritten says whether a work order is what there is already. Of a member that is new after a loss, what was listed is what its cluster
// has a record of, see plan.Recovered.
func isWritten(have, want *meshv1alpha1.MeshMember, inst *meshv1alpha1.MeshInstallation) bool {
	if have == nil || have.Status.Recovered != nil || !metav1.IsControlledBy(have, inst) {
		return false
	}
	for k, v := range want.Labels {
		if have.Labels[k] != v {
			return false
		}
	}
	return isSameOrder(&have.Spec, &want.Spec)
}

// isSameOrder compares work orders. Peers are compared apart: they are most of an order, and comparing them by reflection would be most of
// a pass.
func isSameOrder(a, b *meshv1alpha1.MeshMemberSpec) bool {
	if !slices.Equal(a.Peers, b.Peers) {
		return false
	}
	x, y := *a, *b
	x.Peers, y.Peers = nil, nil
	return equality.Semantic.DeepEqual(x, y)
}

// changedMeanwhile is the conflict of a work order with a MeshMember that is newer than the one that it was planned from.
func changedMeanwhile(name string) error {
	return apierrors.NewConflict(meshv1alpha1.GroupVersion.WithResource("meshmembers").GroupResource(), name,
		errors.New("it has changed since its work order was planned"))
}

func (r *Reconciler) finish(ctx context.Context, before, inst *meshv1alpha1.MeshInstallation, outcomes []status.Outcome) (ctrl.Result, error) {
	if isConflicted(outcomes) {
		// What was decided is out of date, and so are its words. No event need follow: some changes of what we own are not watched.
		return ctrl.Result{RequeueAfter: outcome.ShortWait}, nil
	}
	inst.Status.ObservedGeneration, inst.Status.OperatorVersion = inst.Generation, build.Current().Version
	status.Set(&inst.Status.Conditions, inst.Generation, outcomes, r.Now())
	status.Bound(&inst.Status)
	if !equality.Semantic.DeepEqual(before.Status, inst.Status) {
		if err := r.Client.Status().Patch(ctx, inst, client.MergeFrom(before)); err != nil {
			return outcome.Written(err)
		}
		r.written.Note(inst)
		status.RecordInstallation(r.Events, before, inst)
	}
	for _, o := range outcomes {
		// A member's failure is retried by its own reconciler; only our own carry an error.
		if o.Result.Kind == phase.Retry && o.Result.Err != nil && o.Result.Message == "" {
			return ctrl.Result{}, o.Result.Err
		}
	}
	return ctrl.Result{RequeueAfter: status.Next(outcomes)}, nil
}

// isConflicted reports whether a write met a newer object than the one that was read.
func isConflicted(outcomes []status.Outcome) bool {
	return slices.ContainsFunc(outcomes, func(o status.Outcome) bool { return o.Result.Kind == phase.Retry && apierrors.IsConflict(o.Result.Err) })
}
