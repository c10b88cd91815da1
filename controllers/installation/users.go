package installation

import (
	"context"
	"slices"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// usersOfSecret are the installations whose root or intermediates a Secret is, or that fetch charts with it. It goes by names: a Secret that was restored
// by hand may have lost its labels.
func (r *Reconciler) usersOfSecret(ctx context.Context, o client.Object) []reconcile.Request {
	return r.users(ctx, o, func(inst *meshv1alpha1.MeshInstallation) bool {
		member, isCA := mesh.MemberOfCASecret(inst.Name, o.GetName())
		return mesh.RootName(inst.Name) == o.GetName() || fetchesWith(inst.Spec.Charts, o.GetName()) ||
			isCA && slices.ContainsFunc(inst.Spec.Members, func(m meshv1alpha1.Member) bool { return m.Name == member })
	})
}

// fetchesWith reports whether charts are fetched from a Secret, or with its credentials.
func fetchesWith(c *meshv1alpha1.Charts, secret string) bool {
	return c != nil && (c.PullSecretRef != nil && c.PullSecretRef.Name == secret ||
		c.Archives != nil && c.Archives.SecretRef != nil && c.Archives.SecretRef.Name == secret)
}

// usersOfConfigMap are the installations that fetch charts from a ConfigMap.
func (r *Reconciler) usersOfConfigMap(ctx context.Context, o client.Object) []reconcile.Request {
	return r.users(ctx, o, func(inst *meshv1alpha1.MeshInstallation) bool {
		c := inst.Spec.Charts
		return c != nil && c.Archives != nil && c.Archives.ConfigMapRef != nil && c.Archives.ConfigMapRef.Name == o.GetName()
	})
}

// users are the installations in the namespace of an object that use it.
func (r *Reconciler) users(ctx context.Context, o client.Object, uses func(*meshv1alpha1.MeshInstallation) bool) []reconcile.Request {
	found := &meshv1alpha1.MeshInstallationList{}
	if err := r.Client.List(ctx, found, client.InNamespace(o.GetNamespace()), client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing installations for an event failed")
		return nil
	}
	var out []reconcile.Request
	for i := range found.Items {
		if inst := &found.Items[i]; uses(inst) {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(inst)})
		}
	}
	return out
}
