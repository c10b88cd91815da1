// Package member acts in one member: it brings the cluster towards the work order of its MeshMember and reports what it finds.
//
//	MeshMember.spec ──apply──▶ the member cluster ──observe──▶ MeshMember.status
package member

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
	mcbuilder "sigs.k8s.io/multicluster-runtime/pkg/builder"
	mchandler "sigs.k8s.io/multicluster-runtime/pkg/handler"
	mcmanager "sigs.k8s.io/multicluster-runtime/pkg/manager"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/fleet"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/queue"
)

// DefaultConcurrency is how many members are worked on at the same time. A member that hangs holds one place for as long as a
// call may take, so there are more places than members that fail together in practice.
const DefaultConcurrency = 32

// CacheSelectors restrict the members' caches of kinds that do not carry the label of what the operator applies. The
// control plane's namespace may be a user's; it is watched for its network, on which traffic between clusters rests.
func CacheSelectors() map[client.Object]labels.Selector {
	hasNetwork, err := labels.NewRequirement(charts.NetworkLabel, selection.Exists, nil)
	// It is made of constants.
	utilruntime.Must(err)
	return map[client.Object]labels.Selector{&corev1.Namespace{}: labels.NewSelector().Add(*hasNetwork)}
}

// SetupWithManager registers the reconciler: it watches MeshMembers and Secrets on the hub, the connections, and in
// every member what it has made there.
func (r *Reconciler) SetupWithManager(mgr mcmanager.Manager, provider *fleet.Provider) error {
	hubOnly := func() mcbuilder.EngageOptions { return mcbuilder.WithEngageWithLocalCluster(true) }
	notMembers := mcbuilder.WithEngageWithProviderClusters(false)
	b := mcbuilder.ControllerManagedBy(mgr).
		Named("meshmember").
		Watches(&meshv1alpha1.MeshMember{}, r.urgencies.Own, hubOnly(), notMembers, mcbuilder.WithPredicates(predicate.GenerationChangedPredicate{})).
		// A peer that leaves, or forgets one that leaves, is told by its status.
		Watches(&meshv1alpha1.MeshMember{}, r.spread(r.toSiblings()), hubOnly(), notMembers).
		Watches(&corev1.Secret{}, r.spread(toHub(r.usersOfSecret)), hubOnly(), notMembers).
		WatchesRawSource(fleet.Changes(provider, request)).
		WatchesRawSource(source.TypedFunc[mcreconcile.Request](r.watch.events)).
		WithOptions(controller.TypedOptions[mcreconcile.Request]{
			RateLimiter: outcome.RateLimiter[mcreconcile.Request](), NewQueue: r.urgencies.Queue,
			MaxConcurrentReconciles: cmp.Or(r.Concurrency, DefaultConcurrency), ReconciliationTimeout: outcome.PassDeadline,
			// multicluster-runtime does not take this from the manager, as controller-runtime does.
			SkipNameValidation: mgr.GetLocalManager().GetControllerOptions().SkipNameValidation,
		})
	for _, o := range r.parts.Kinds() {
		options := []mcbuilder.WatchesOption{mcbuilder.OnlyMetadata, mcbuilder.WithEngageWithLocalCluster(false), mcbuilder.WithEngageWithProviderClusters(true)}
		if isStatusNoise(o) {
			options = append(options, mcbuilder.WithPredicates(fleet.StatusAside()))
		}
		b = b.Watches(o, memberOf, options...)
	}
	if err := b.Complete(r); err != nil {
		return fmt.Errorf("set up the controller of MeshMembers: %w", err)
	}
	return nil
}

// isStatusNoise says whether others write the status of a kind all the time, and nothing here waits for it.
func isStatusNoise(o client.Object) bool {
	switch o.(type) {
	case *autoscalingv2.HorizontalPodAutoscaler, *policyv1.PodDisruptionBudget:
		return true
	}
	return false
}

func request(key types.NamespacedName) mcreconcile.Request {
	return mcreconcile.Request{Request: reconcile.Request{NamespacedName: key}}
}

// memberOf requests the MeshMember of the cluster in which something changed.
func memberOf(name multicluster.ClusterName, _ cluster.Cluster) mchandler.EventHandler {
	key := fleet.Key(name)
	return handler.TypedEnqueueRequestsFromMapFunc(func(context.Context, client.Object) []mcreconcile.Request {
		return []mcreconcile.Request{request(key)}
	})
}

// spread lets what others cause in a member wait, see queue.Spread.
func (r *Reconciler) spread(h mchandler.EventHandler) mchandler.EventHandlerFunc {
	spread := queue.Spread(&r.pace, func(req mcreconcile.Request) types.NamespacedName { return req.NamespacedName }, h)
	return func(multicluster.ClusterName, cluster.Cluster) mchandler.EventHandler { return spread }
}

// toHub lifts a map from objects of the hub to MeshMembers.
func toHub(f func(context.Context, client.Object) []types.NamespacedName) mchandler.EventHandler {
	return handler.TypedEnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []mcreconcile.Request {
		var out []mcreconcile.Request
		for _, key := range f(ctx, o) {
			out = append(out, request(key))
		}
		return out
	})
}

// toSiblings requests the other members of the same installation that a change of one concerns.
func (r *Reconciler) toSiblings() mchandler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[mcreconcile.Request]
	return handler.TypedFuncs[client.Object, mcreconcile.Request]{UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
		before, okBefore := e.ObjectOld.(*meshv1alpha1.MeshMember)
		after, okAfter := e.ObjectNew.(*meshv1alpha1.MeshMember)
		if !okBefore || !okAfter {
			return
		}
		told := concerned(before, after)
		if told.isNobody() {
			return
		}
		for _, key := range r.siblings(ctx, after, told) {
			q.Add(request(key))
		}
	}}
}

// siblings are the other members of the same installation that are to be told.
func (r *Reconciler) siblings(ctx context.Context, o *meshv1alpha1.MeshMember, told audience) []types.NamespacedName {
	return r.membersWhere(ctx, o.Namespace, func(m *meshv1alpha1.MeshMember) bool {
		return m.Name != o.Name && m.Spec.Installation == o.Labels[meshv1alpha1.LabelInstallation] && told.has(m)
	})
}

// audience are the members that a change of another one concerns.
type audience struct {
	isAll              bool
	clusters, networks map[string]bool
}

func (a audience) isNobody() bool { return !a.isAll && len(a.clusters)+len(a.networks) == 0 }

func (a audience) has(m *meshv1alpha1.MeshMember) bool {
	return a.isAll || a.clusters[m.Spec.Cluster] || a.networks[m.Spec.Network]
}

// concerned are those who wait for what has changed in a member. All wait for a control plane that serves for the first time, for a gateway
// that comes or goes, for the first marker, and for a member that leaves; of what its istiod knows, each waits for what it knows of itself.
// Markers change every few minutes; members look at them in their periodic passes.
func concerned(before, after *meshv1alpha1.MeshMember) audience {
	old, now := &before.Status.Discovery, &after.Status.Discovery
	if mesh.HasServed(before) != mesh.HasServed(after) || before.Spec.Removal != after.Spec.Removal ||
		!equality.Semantic.DeepEqual(before.Status.Gateway, after.Status.Gateway) || (old.Marker == nil) != (now.Marker == nil) {
		return audience{isAll: true}
	}
	network := func(g meshv1alpha1.NetworkGateway) string { return g.Network }
	out := audience{
		clusters: changed(withoutMarkers(old.Peers), withoutMarkers(now.Peers), func(p meshv1alpha1.PeerStatus) string { return p.Name }),
		networks: changed(old.IstiodGateways, now.IstiodGateways, network),
	}
	for n := range changed(old.ProxyGateways, now.ProxyGateways, network) {
		out.networks[n] = true
	}
	return out
}

// changed are the keys of what is in only one of two lists.
func changed[T comparable](before, after []T, key func(T) string) map[string]bool {
	out, old := map[string]bool{}, map[T]bool{}
	if slices.Equal(before, after) {
		return out
	}
	for _, e := range before {
		old[e] = true
	}
	for _, e := range after {
		if !old[e] {
			out[key(e)] = true
		}
		delete(old, e)
	}
	for e := range old {
		out[key(e)] = true
	}
	return out
}

// withoutMarkers are reports of peers without what changes every few minutes.
func withoutMarkers(peers []meshv1alpha1.PeerStatus) []meshv1alpha1.PeerStatus {
	out := slices.Clone(peers)
	for i := range out {
		out[i].Marker = ""
	}
	return out
}

// usersOfSecret are the members whose work order names a Secret, and the one that keeps its reader credential there.
func (r *Reconciler) usersOfSecret(ctx context.Context, o client.Object) []types.NamespacedName {
	return r.membersWhere(ctx, o.GetNamespace(), func(m *meshv1alpha1.MeshMember) bool {
		if m.Spec.CASecret == o.GetName() || mesh.ReaderSecretName(m.Spec.Installation, m.Spec.Cluster) == o.GetName() {
			return true
		}
		if ref := m.Spec.ClusterRef.KubeconfigSecret; ref != nil && ref.Name == o.GetName() {
			return true
		}
		// Every member has all others as peers, sorted by name.
		peer, isReader := mesh.MemberOfReaderSecret(m.Spec.Installation, o.GetName())
		if !isReader {
			return false
		}
		_, isPeer := slices.BinarySearchFunc(m.Spec.Peers, peer, func(p meshv1alpha1.Peer, name string) int { return cmp.Compare(p.Name, name) })
		return isPeer
	})
}

func (r *Reconciler) membersWhere(ctx context.Context, namespace string, match func(*meshv1alpha1.MeshMember) bool) []types.NamespacedName {
	list := &meshv1alpha1.MeshMemberList{}
	// They are read only: a list of all members with their peers is copied else for each event.
	if err := r.Client.List(ctx, list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing members for an event failed")
		return nil
	}
	var out []types.NamespacedName
	for i := range list.Items {
		if match(&list.Items[i]) {
			out = append(out, client.ObjectKeyFromObject(&list.Items[i]))
		}
	}
	return out
}
