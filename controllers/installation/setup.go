// Package installation plans on the hub: it makes the certificates and the work orders of all members, drives upgrades, and sums up.
//
//	MeshInstallation ──plan──▶ MeshMember.spec
//	        ▲
//	        └── sum up ── MeshMember.status
package installation

import (
	"cmp"
	"context"
	"fmt"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/queue"
)

// +kubebuilder:rbac:groups=mesh.meshfleet.io,resources=meshinstallations,verbs=get;list;watch;update;patch,namespace=meshfleet-system
// +kubebuilder:rbac:groups=mesh.meshfleet.io,resources=meshinstallations/status;meshinstallations/finalizers,verbs=get;update;patch,namespace=meshfleet-system
// +kubebuilder:rbac:groups=mesh.meshfleet.io,resources=meshmembers,verbs=get;list;watch;create;update;patch;delete,namespace=meshfleet-system
// +kubebuilder:rbac:groups=mesh.meshfleet.io,resources=meshmembers/status;meshmembers/finalizers,verbs=get;update;patch,namespace=meshfleet-system
// +kubebuilder:rbac:groups=mesh.meshfleet.io,resources=meshupgrades,verbs=get;list;watch;create;update;patch;delete,namespace=meshfleet-system
// +kubebuilder:rbac:groups=mesh.meshfleet.io,resources=meshupgrades/status;meshupgrades/finalizers,verbs=get;update;patch,namespace=meshfleet-system
// +kubebuilder:rbac:groups=mesh.meshfleet.io,resources=meshapprovals,verbs=get;list;watch;create,namespace=meshfleet-system
// +kubebuilder:rbac:groups=mesh.meshfleet.io,resources=meshapprovals/status,verbs=get;update;patch,namespace=meshfleet-system
// +kubebuilder:rbac:groups=cert-manager.io,resources=issuers;certificates,verbs=get;list;watch;create;update;patch;delete,namespace=meshfleet-system
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;update;patch;delete,namespace=meshfleet-system
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch;create;delete,namespace=meshfleet-system
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch,namespace=meshfleet-system
// +kubebuilder:rbac:groups="",resources=events,verbs=create;patch,namespace=meshfleet-system
// +kubebuilder:rbac:groups="",resources=namespaces,resourceNames=kube-system,verbs=get

// DefaultConcurrency is how many installations are worked on at the same time.
const DefaultConcurrency = 4

// CacheOptions are the settings of the hub's cache for the kinds that the reconciler watches. Of a ConfigMap it needs no more than the name, and
// `kubectl apply` writes the content into an annotation.
func CacheOptions() map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{&corev1.ConfigMap{}: {Transform: func(o any) (any, error) {
		if m, err := meta.Accessor(o); err == nil {
			m.SetAnnotations(nil)
			m.SetManagedFields(nil)
		}
		return o, nil
	}}}
}

// SetupWithManager registers the reconciler with the hub's manager.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	spread := func(h handler.EventHandler) handler.EventHandler {
		return queue.Spread(&r.pace, func(req reconcile.Request) types.NamespacedName { return req.NamespacedName }, h)
	}
	ofOwner := handler.EnqueueRequestForOwner(mgr.GetScheme(), mgr.GetRESTMapper(), &meshv1alpha1.MeshInstallation{}, handler.OnlyControllerOwner())
	err := ctrl.NewControllerManagedBy(mgr).
		Named("meshinstallation").
		For(&meshv1alpha1.MeshInstallation{}, builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}, predicate.AnnotationChangedPredicate{},
		))).
		Watches(&meshv1alpha1.MeshMember{}, spread(ofOwner)).
		// No predicate: people steer by an annotation.
		Owns(&meshv1alpha1.MeshUpgrade{}).
		Watches(&meshv1alpha1.MeshApproval{}, handler.EnqueueRequestsFromMapFunc(r.installationOf)).
		Watches(&cmv1.Certificate{}, spread(ofOwner)).
		Watches(&corev1.Secret{}, spread(handler.EnqueueRequestsFromMapFunc(usersOf(r.Client, usesSecret)))).
		WatchesMetadata(&corev1.ConfigMap{}, spread(handler.EnqueueRequestsFromMapFunc(usersOf(r.Client, usesConfigMap)))).
		Owns(&cmv1.Issuer{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{
			RateLimiter: outcome.RateLimiter[reconcile.Request](), MaxConcurrentReconciles: cmp.Or(r.Concurrency, DefaultConcurrency),
			ReconciliationTimeout: outcome.PassDeadline, UsePriorityQueue: new(true),
		}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("set up the controller of MeshInstallations: %w", err)
	}
	return nil
}

// installationOf is the installation whose upgrade an approval answers.
func (r *Reconciler) installationOf(ctx context.Context, o client.Object) []reconcile.Request {
	a, ok := o.(*meshv1alpha1.MeshApproval)
	if !ok {
		return nil
	}
	u := &meshv1alpha1.MeshUpgrade{}
	key := types.NamespacedName{Namespace: a.Namespace, Name: a.Spec.UpgradeRef.Name}
	if err := r.Client.Get(ctx, key, u); err != nil {
		if client.IgnoreNotFound(err) != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Reading the upgrade of an approval failed")
		}
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: u.Namespace, Name: u.Spec.Installation}}}
}
