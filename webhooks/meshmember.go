package webhooks

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// +kubebuilder:webhook:path=/validate-mesh-meshfleet-io-v1alpha1-meshmember,mutating=false,failurePolicy=ignore,sideEffects=None,groups=mesh.meshfleet.io,resources=meshmembers,verbs=delete,versions=v1alpha1,name=vmeshmember.meshfleet.io,admissionReviewVersions=v1

// deletions warns of deletions that have no effect. It refuses none: a MeshMember that its installation names is made
// again, whoever deletes it.
type deletions struct {
	reader client.Reader
}

var _ admission.Validator[*meshv1alpha1.MeshMember] = deletions{}

// ValidateCreate allows it: only the operator makes MeshMembers.
func (deletions) ValidateCreate(context.Context, *meshv1alpha1.MeshMember) (admission.Warnings, error) {
	return nil, nil
}

// ValidateUpdate allows it: the operator writes the work order over.
func (deletions) ValidateUpdate(context.Context, *meshv1alpha1.MeshMember, *meshv1alpha1.MeshMember) (admission.Warnings, error) {
	return nil, nil
}

// ValidateDelete warns when the member stays a member.
func (d deletions) ValidateDelete(ctx context.Context, m *meshv1alpha1.MeshMember) (admission.Warnings, error) {
	inst := &meshv1alpha1.MeshInstallation{}
	err := d.reader.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: m.Spec.Installation}, inst)
	isNamed := slices.ContainsFunc(inst.Spec.Members, func(o meshv1alpha1.Member) bool { return o.Name == m.Spec.Cluster })
	if err != nil || !inst.DeletionTimestamp.IsZero() || !isNamed {
		return nil, nil
	}
	return admission.Warnings{fmt.Sprintf("MeshMember %s is made again, because MeshInstallation %s names %s; to take the mesh out of that cluster, "+
		"remove it from spec.members", m.Name, inst.Name, m.Spec.Cluster)}, nil
}
