package controllers

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/phase"
	"github.com/meshfleet/meshfleet/internal/trust"
)

func (r *MeshInstallationReconciler) trust() trust.Hub { return trust.Hub{Client: r.Client} }

// certificates makes the root and the members' intermediates. The members wait for their own.
func (r *MeshInstallationReconciler) certificates(ctx context.Context, inst *meshv1alpha1.MeshInstallation) phase.Result {
	waiting, err := r.trust().Ensure(ctx, inst)
	if err != nil {
		return failed(err)
	}
	if waiting != "" {
		return phase.Waiting(meshv1alpha1.ReasonWaitingForCertificate, waiting, 0).
			Overdue(inst.CreationTimestamp.Time, r.Now(), certificateDeadline, meshv1alpha1.ReasonDeadlineExceeded)
	}
	return phase.Complete(meshv1alpha1.ReasonReady, "")
}

// rootExpiry reports the end of the root's life, when the root is on the hub.
func (r *MeshInstallationReconciler) rootExpiry(ctx context.Context, inst *meshv1alpha1.MeshInstallation) error {
	at, err := r.trust().RootNotAfter(ctx, inst)
	if err == nil && !at.IsZero() {
		inst.Status.Trust.NotAfter = &metav1.Time{Time: at}
	}
	return err
}
