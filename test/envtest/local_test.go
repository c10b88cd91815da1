package envtest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// local makes a mesh of the newest release over the hub alone, and deletes it. The operator works there with its own
// account and the permissions of config/local-member.
func (s *suite) local(t *testing.T) {
	for _, file := range []string{"member-rbac/role.yaml", "local-member/role_binding.yaml"} {
		must(t, s.hub.createFile(t.Context(), filepath.Join(configDir, file), ""))
	}
	must(t, s.hub.admitControlPlane(t.Context(), "local-member/controlplane_role_binding.yaml"))
	home := shop("home", func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.Version = newer
		inst.Spec.Members = []meshv1alpha1.Member{{Name: hubName, ClusterRef: meshv1alpha1.ClusterRef{Local: &meshv1alpha1.LocalCluster{}}}}
	})
	must(t, s.hub.admin.Create(t.Context(), home))
	await(t, "the mesh of the hub is ready", func(ctx context.Context) error {
		err := s.hub.admin.Get(ctx, client.ObjectKeyFromObject(home), home)
		m := &meshv1alpha1.MeshMember{}
		err = errors.Join(err, s.hub.admin.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: "home-hub"}, m))
		if err != nil {
			return err
		}
		if !slices.Equal(m.Status.Gateway.Addresses, []string{addressOf(hubName)}) || m.Status.Gateway.Announced == nil || home.Status.EffectiveVersion != newer {
			err = fmt.Errorf("version %q, gateway %+v", home.Status.EffectiveVersion, m.Status.Gateway)
		}
		return errors.Join(err,
			ready("mesh", home.Generation, home.Status.ObservedGeneration, home.Status.Conditions),
			ready("hub", m.Generation, m.Status.ObservedGeneration, m.Status.Conditions))
	})
	s.awaitCalm(t)
	// No pod with a proxy runs there, so that nothing protects it.
	must(t, s.hub.admin.Delete(t.Context(), home))
	await(t, "the mesh of the hub is gone", func(ctx context.Context) error {
		err := s.hub.admin.Get(ctx, client.ObjectKeyFromObject(home), home)
		if !apierrors.IsNotFound(err) {
			return gone(err, home.Status.Conditions)
		}
		for _, owner := range []string{"home", operatorNamespace + ".home"} {
			left, err := s.hub.labelled(ctx, meshv1alpha1.LabelInstallation+"="+owner)
			if err != nil || len(left) > 0 {
				return errors.Join(err, fmt.Errorf("left: %v", left))
			}
		}
		return nil
	})
}
