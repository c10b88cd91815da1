package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/controlplane"
)

// retireRevisions deletes the revisions that the work order no longer names, once no proxy of theirs runs: without its
// istiod a proxy could not renew its certificate.
func (r *MeshMemberReconciler) retireRevisions(ctx context.Context, s *scope, wanted map[string]bool) error {
	present, err := s.state.applier.Components(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range present {
		revision, ok := strings.CutPrefix(c, controlplane.RevisionPrefix)
		if !ok || wanted[c] {
			continue
		}
		users, err := r.usersOf(ctx, s, revision)
		if err == nil && len(users) == 0 {
			_, err = s.state.applier.Delete(ctx, c)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// retired says whether a revision is gone. It stays as long as a proxy of it runs.
func (r *MeshMemberReconciler) retired(ctx context.Context, s *scope, revision string) (meshv1alpha1.StageState, string, error) {
	components, err := s.state.applier.Components(ctx)
	if err != nil {
		return "", "", err
	}
	if !slices.Contains(components, controlplane.RevisionPrefix+revision) {
		return meshv1alpha1.StageDone, "revision " + revision + " is removed", nil
	}
	users, err := r.usersOf(ctx, s, revision)
	if err != nil {
		return "", "", err
	}
	if len(users) > 0 {
		return meshv1alpha1.StageInconclusive, "revision " + revision + " stays, its proxies run in " + list(users, len(users)), nil
	}
	return meshv1alpha1.StageProgressing, "removing revision " + revision, nil
}

// usersOf lists the pods whose proxy a revision has injected. Gateways of the operator are among them.
func (r *MeshMemberReconciler) usersOf(ctx context.Context, s *scope, revision string) ([]string, error) {
	pods := &corev1.PodList{}
	if err := s.remote.List(ctx, pods); err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	var users []string
	for i := range pods.Items {
		p := &pods.Items[i]
		if p.Annotations["istio.io/rev"] == revision && p.Annotations["sidecar.istio.io/status"] != "" &&
			p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			users = append(users, p.Namespace+"/"+p.Name)
		}
	}
	slices.Sort(users)
	return users, nil
}
