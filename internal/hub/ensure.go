// Package hub writes objects on the hub that belong to a MeshInstallation.
package hub

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// ErrNotOurs says that an object of that name exists which was not made for the installation.
var ErrNotOurs = errors.New("exists already and was not made for this MeshInstallation; delete or rename it")

// isOf says whether an object belongs to an installation. One that came from a backup has its label, and no owner: the UID of the
// installation is another one.
func isOf(o client.Object, inst *meshv1alpha1.MeshInstallation) bool {
	return metav1.IsControlledBy(o, inst) || metav1.GetControllerOf(o) == nil && o.GetLabels()[meshv1alpha1.LabelInstallation] == inst.Name
}

// Ensure creates or updates an object that the installation owns: mutate sets what is wanted, on what there is. It ends
// with o as it is on the hub. An object of that name that somebody else made is left alone. Error: ErrNotOurs.
func Ensure(ctx context.Context, c client.Client, inst *meshv1alpha1.MeshInstallation, o client.Object, labels map[string]string, mutate func() error) error {
	op, err := controllerutil.CreateOrUpdate(ctx, c, o, func() error {
		if o.GetResourceVersion() != "" && !isOf(o, inst) {
			return fmt.Errorf("%T %q: %w", o, o.GetName(), ErrNotOurs)
		}
		have := o.GetLabels()
		if have == nil {
			have = map[string]string{}
		}
		for k, v := range labels {
			have[k] = v
		}
		o.SetLabels(have)
		if err := mutate(); err != nil {
			return err
		}
		return controllerutil.SetControllerReference(inst, o, c.Scheme())
	})
	if op != controllerutil.OperationResultNone {
		log.FromContext(ctx).Info("Wrote hub object", "object", fmt.Sprintf("%T %s", o, o.GetName()), "operation", op)
	}
	if err != nil {
		return fmt.Errorf("write %T %q: %w", o, o.GetName(), err)
	}
	return nil
}
