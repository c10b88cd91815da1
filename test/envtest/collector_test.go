package envtest

import (
	"context"
	"errors"
	"testing"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// collect plays garbage collection on the hub.
func collect(t *testing.T, hub *cluster) {
	t.Helper()
	loop(t, hub, []client.Object{
		&meshv1alpha1.MeshInstallation{}, &meshv1alpha1.MeshMember{}, &meshv1alpha1.MeshUpgrade{}, &cmv1.Issuer{}, &cmv1.Certificate{}, &corev1.Secret{},
	}, func(ctx context.Context) error {
		var errs []error
		for _, list := range []client.ObjectList{&meshv1alpha1.MeshMemberList{}, &meshv1alpha1.MeshUpgradeList{}, &meshv1alpha1.MeshApprovalList{}, &cmv1.IssuerList{}, &cmv1.CertificateList{}, &corev1.SecretList{}} {
			errs = append(errs, collectFrom(ctx, hub.admin, list))
		}
		return errors.Join(errs...)
	})
}

func collectFrom(ctx context.Context, c client.Client, list client.ObjectList) error {
	gvk, err := c.GroupVersionKindFor(list)
	if err != nil {
		return err
	}
	metadata := &metav1.PartialObjectMetadataList{}
	metadata.SetGroupVersionKind(gvk)
	if err := c.List(ctx, metadata, client.InNamespace(operatorNamespace)); err != nil {
		return err
	}
	var errs []error
	for i := range metadata.Items {
		o := &metadata.Items[i]
		owner := metav1.GetControllerOf(o)
		if owner == nil || !o.DeletionTimestamp.IsZero() {
			continue
		}
		is := &metav1.PartialObjectMetadata{}
		is.SetGroupVersionKind(schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind))
		err := c.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: owner.Name}, is)
		if apierrors.IsNotFound(err) || err == nil && is.UID != owner.UID {
			err = client.IgnoreNotFound(c.Delete(ctx, o, client.Preconditions{UID: &o.UID}))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
