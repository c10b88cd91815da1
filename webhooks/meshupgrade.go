package webhooks

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// An operator that is down must not keep anybody from removing a finalizer: planning understands what is let through
// meanwhile.
// +kubebuilder:webhook:path=/validate-mesh-meshfleet-io-v1alpha1-meshupgrade,mutating=false,failurePolicy=ignore,sideEffects=None,groups=mesh.meshfleet.io,resources=meshupgrades,verbs=update;delete,versions=v1alpha1,name=vmeshupgrade.meshfleet.io,admissionReviewVersions=v1

// orders refuses orders of people that an upgrade cannot follow, and the deletion of one that is under way.
type orders struct {
	reader client.Reader
}

var _ admission.Validator[*meshv1alpha1.MeshUpgrade] = orders{}

// ValidateCreate allows it: only the operator makes MeshUpgrades.
func (orders) ValidateCreate(context.Context, *meshv1alpha1.MeshUpgrade) (admission.Warnings, error) {
	return nil, nil
}

// ValidateUpdate checks an order that is new. Everything else, an order that is taken away among it, can be changed at
// will.
func (orders) ValidateUpdate(_ context.Context, old, u *meshv1alpha1.MeshUpgrade) (admission.Warnings, error) {
	before, order := old.Annotations[meshv1alpha1.AnnotationAction], u.Annotations[meshv1alpha1.AnnotationAction]
	if order == before || order == "" || !u.DeletionTimestamp.IsZero() {
		return nil, nil
	}
	warnings, err := checkOrder(u, meshv1alpha1.UpgradeAction(order))
	if err != nil {
		return nil, apierrors.NewInvalid(meshv1alpha1.GroupVersion.WithKind("MeshUpgrade").GroupKind(), u.Name, field.ErrorList{err})
	}
	return warnings, nil
}

// ValidateDelete refuses it for an upgrade that has begun and is not over: members are on their way, and the record says
// where to. A plan that never ran may be deleted, and everything once the MeshInstallation is being deleted.
func (o orders) ValidateDelete(ctx context.Context, u *meshv1alpha1.MeshUpgrade) (admission.Warnings, error) {
	if u.Status.StartedAt == nil || u.Status.Phase.IsFinished() || !u.DeletionTimestamp.IsZero() {
		return nil, nil
	}
	inst := &meshv1alpha1.MeshInstallation{}
	err := o.reader.Get(ctx, client.ObjectKey{Namespace: u.Namespace, Name: u.Spec.Installation}, inst)
	if err != nil || !inst.DeletionTimestamp.IsZero() {
		// What cannot be read stops nobody: the finalizer keeps the record until the upgrade is over.
		return nil, nil
	}
	return nil, apierrors.NewForbidden(meshv1alpha1.GroupVersion.WithResource("meshupgrades").GroupResource(), u.Name, fmt.Errorf(
		"the upgrade is under way (%s), and members are between two revisions; to end it, annotate it with %s=%s and delete it when it is over",
		u.Status.Phase, meshv1alpha1.AnnotationAction, meshv1alpha1.UpgradeActionAbort))
}

// checkOrder says why an upgrade cannot follow an order, and what to do instead.
func checkOrder(u *meshv1alpha1.MeshUpgrade, order meshv1alpha1.UpgradeAction) (admission.Warnings, *field.Error) {
	path := field.NewPath("metadata", "annotations").Key(meshv1alpha1.AnnotationAction)
	phase := u.Status.Phase
	refuse := func(format string, args ...any) (admission.Warnings, *field.Error) {
		return nil, field.Invalid(path, string(order), fmt.Sprintf(format, args...))
	}
	switch order {
	case meshv1alpha1.UpgradeActionPause, meshv1alpha1.UpgradeActionAbort:
		switch {
		case phase == meshv1alpha1.UpgradeSucceeded:
			return refuse("this upgrade is over (%s); to go back, change the spec of the MeshInstallation", phase)
		case phase.IsFinished():
			return refuse("this upgrade is over (%s); write it on the one that is under way, or set spec.upgrade.state of the MeshInstallation", phase)
		case phase == meshv1alpha1.UpgradeRollingBack && order == meshv1alpha1.UpgradeActionPause:
			return admission.Warnings{"this upgrade is being rolled back, which cannot be paused"}, nil
		}
	case meshv1alpha1.UpgradeActionRetry:
		switch {
		case !phase.IsFinished():
			return refuse("this upgrade is not over; to let it go on, take the annotation away; to try again from the start, write Abort, and Retry once it is over")
		case phase == meshv1alpha1.UpgradeSucceeded && len(u.Status.Failed) == 0:
			return refuse("this upgrade has succeeded, so that there is nothing to try again; leave the annotation away")
		}
	default:
		return nil, field.NotSupported(path, order, []meshv1alpha1.UpgradeAction{meshv1alpha1.UpgradeActionPause, meshv1alpha1.UpgradeActionAbort, meshv1alpha1.UpgradeActionRetry})
	}
	return nil, nil
}
