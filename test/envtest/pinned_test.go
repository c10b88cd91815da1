package envtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

// pinnedName is the name of a gateway that is replaced in place.
const pinnedName = "istio-eastwestgateway"

// pin changes how gateways are replaced, and back: the other kind of gateway replaces the present one.
func (s *suite) pin(t *testing.T) {
	for _, step := range []struct {
		to            meshv1alpha1.GatewayReplacement
		wanted, other string
	}{
		{meshv1alpha1.GatewayReplacementInPlace, pinnedName, gatewayName},
		{meshv1alpha1.GatewayReplacementSurge, gatewayName, pinnedName},
	} {
		s.edit(t, func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.EastWestGateway.Replacement = step.to })
		for _, name := range both {
			await(t, fmt.Sprintf("%s replaces %s in %s", step.wanted, step.other, name), func(ctx context.Context) error {
				return s.isReplaced(ctx, name, step.wanted, step.other)
			})
		}
		s.awaitReady(t, both...)
	}
}

func (s *suite) isReplaced(ctx context.Context, member, wanted, other string) error {
	get := func(name string) (*corev1.Service, error) {
		service := &corev1.Service{}
		return service, s.members[member].admin.Get(ctx, client.ObjectKey{Namespace: controlPlaneNamespace, Name: name}, service)
	}
	service, err := get(wanted)
	if err != nil {
		return err
	}
	if service.Labels[networkLabel] != networkOf(member) {
		return fmt.Errorf("labels of %s: %v", wanted, service.Labels)
	}
	if _, err := get(other); !apierrors.IsNotFound(err) {
		return errors.Join(fmt.Errorf("%s is still there", other), err)
	}
	m, err := s.member(ctx, member)
	if err != nil {
		return err
	}
	if g := m.Status.Gateway; g.Name != wanted || !slices.Equal(g.Addresses, []string{addressOfService(member, wanted)}) {
		return fmt.Errorf("reported gateway: %+v", g)
	}
	return nil
}
