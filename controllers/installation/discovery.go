package installation

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/outcome"
	"github.com/meshfleet/meshfleet/internal/plan"
	"github.com/meshfleet/meshfleet/internal/status"
)

// noteRestarts adds to DiscoveryReady why restarts of istiod wait, and looks again when time alone may have changed that.
func noteRestarts(outcomes []status.Outcome, waiting string) {
	if waiting == "" {
		return
	}
	for i := range outcomes {
		if o := &outcomes[i]; o.Type == meshv1alpha1.ConditionDiscoveryReady {
			o.Result.Message = o.Result.Text() + "; " + waiting
			o.Result.After = outcome.Recheck
		}
	}
}

// dropReaders deletes the reader credentials of members that have left. They belong to the installation, so that those of a
// MeshMember that is made again stay.
func (r *Reconciler) dropReaders(
	ctx context.Context, inst *meshv1alpha1.MeshInstallation, p plan.MembersPlan, members []meshv1alpha1.MeshMember,
) error {
	found := &corev1.SecretList{}
	if err := r.Client.List(ctx, found, client.InNamespace(inst.Namespace),
		client.MatchingLabels{meshv1alpha1.LabelInstallation: inst.Name}, client.HasLabels{meshv1alpha1.LabelMember}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list reader credentials: %w", err)
	}
	stays := map[string]bool{}
	for i := range p.Desired {
		stays[p.Desired[i].Name] = true
	}
	for i := range members {
		stays[members[i].Name] = true
	}
	for i := range found.Items {
		s := &found.Items[i]
		cluster := s.Labels[meshv1alpha1.LabelMember]
		if s.Name != mesh.ReaderSecretName(inst.Name, cluster) || stays[mesh.MemberName(inst.Name, cluster)] {
			continue
		}
		if err := r.Client.Delete(ctx, s, client.Preconditions{UID: &s.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete Secret %q: %w", s.Name, err)
		}
	}
	return nil
}
