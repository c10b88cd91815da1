package installation

import (
	"context"
	"slices"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
)

// usersOf maps an object to the installations in its namespace that use an object of its name.
func usersOf(c client.Reader, uses func(inst *meshv1alpha1.MeshInstallation, name string) bool) handler.MapFunc {
	return func(ctx context.Context, o client.Object) []reconcile.Request {
		found := &meshv1alpha1.MeshInstallationList{}
		if err := c.List(ctx, found, client.InNamespace(o.GetNamespace()), client.UnsafeDisableDeepCopy); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Listing installations for an event failed")
			return nil
		}
		var out []reconcile.Request
		for i := range found.Items {
			if inst := &found.Items[i]; uses(inst, o.GetName()) {
				out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(inst)})
			}
		}
		return out
	}
}

// usesSecret reports whether a Secret is the root or an intermediate of a mesh, or its charts are fetched with it. It goes by names: a Secret that was
// restored by hand may have lost its labels.
func usesSecret(inst *meshv1alpha1.MeshInstallation, name string) bool {
	member, isCA := mesh.MemberOfCASecret(inst.Name, name)
	return mesh.RootName(inst.Name) == name || fetchesWith(inst.Spec.Charts, name) ||
		isCA && slices.ContainsFunc(inst.Spec.Members, func(m meshv1alpha1.Member) bool { return m.Name == member })
}

// fetchesWith reports whether charts are fetched from a Secret, or with its credentials.
func fetchesWith(c *meshv1alpha1.Charts, secret string) bool {
	return c != nil && (c.PullSecretRef != nil && c.PullSecretRef.Name == secret ||
		c.Archives != nil && c.Archives.SecretRef != nil && c.Archives.SecretRef.Name == secret)
}

// usesConfigMap reports whether charts are fetched from a ConfigMap.
func usesConfigMap(inst *meshv1alpha1.MeshInstallation, name string) bool {
	c := inst.Spec.Charts
	return c != nil && c.Archives != nil && c.Archives.ConfigMapRef != nil && c.Archives.ConfigMapRef.Name == name
}
