package envtest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

const (
	// pinnedName is the name of a gateway that is replaced in place.
	pinnedName = "istio-eastwestgateway"
	internalLB = "cloud.example/internal"
)

// gatewaySettings changes settings of the gateways, of all and of one member. That is an upgrade: the canary gets them with its new
// revision, and no gateway that serves is changed. Taking the change back rolls the canary back.
func (s *suite) gatewaySettings(t *testing.T) {
	s.awaitCalm(t)
	before, err := s.upgrades(t.Context())
	must(t, err)
	s.edit(t, func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.EastWestGateway.Replacement = meshv1alpha1.GatewayReplacementInPlace
		inst.Spec.Members[0].EastWestGateway = &meshv1alpha1.MemberGateway{Service: meshv1alpha1.GatewayService{Annotations: map[string]string{internalLB: "true"}}}
	})
	canary, other := "east", "west"
	await(t, "the canary is ordered to install the revision with the new settings", func(ctx context.Context) error {
		m, err := s.member(ctx, canary)
		if err != nil {
			return err
		}
		if m.Spec.Rollout == nil || m.Spec.Rollout.Stage != meshv1alpha1.StageInstall || len(m.Spec.Revisions) != 2 {
			return fmt.Errorf("work order: rollout %v, %d revisions", m.Spec.Rollout, len(m.Spec.Revisions))
		}
		if g := m.Spec.Revisions[1].Gateway; g.Replacement != meshv1alpha1.GatewayReplacementInPlace || m.Spec.GatewayRevision != revision {
			return fmt.Errorf("gateway %+v, in force that of %s", g, m.Spec.GatewayRevision)
		}
		return nil
	})
	inst, err := s.installation(t.Context())
	must(t, err)
	for _, name := range both {
		must(t, s.keepsGateway(t.Context(), name))
	}
	m, err := s.member(t.Context(), inst.Spec.Members[0].Name)
	must(t, err)
	if got := m.Spec.Rollout.To.Gateway.Annotations[internalLB]; m.Spec.Rollout.Stage == meshv1alpha1.StageInstall && got != "true" {
		t.Errorf("annotation %q of the member's own settings in %+v", got, m.Spec.Rollout.To.Gateway)
	}
	s.edit(t, func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.EastWestGateway.Replacement, inst.Spec.Members[0].EastWestGateway = meshv1alpha1.GatewayReplacementSurge, nil
	})
	await(t, "the canary is back", func(ctx context.Context) error {
		m, err := s.member(ctx, canary)
		if err != nil {
			return err
		}
		if m.Spec.Rollout != nil || len(m.Spec.Revisions) != 1 || m.Spec.Revisions[0].Name != revision {
			return fmt.Errorf("work order: rollout %v, revisions %v", m.Spec.Rollout, m.Spec.Revisions)
		}
		return errors.Join(s.keepsGateway(ctx, canary), s.keepsGateway(ctx, other))
	})
	s.awaitReady(t, both...)
	s.forgetUpgrades(t, before)
}

// keepsGateway is an error when a member has another gateway, or other settings of it, than before.
func (s *suite) keepsGateway(ctx context.Context, member string) error {
	get := func(name string) (*corev1.Service, error) {
		service := &corev1.Service{}
		return service, s.members[member].admin.Get(ctx, client.ObjectKey{Namespace: controlPlaneNamespace, Name: name}, service)
	}
	service, err := get(gatewayName)
	if err != nil {
		return err
	}
	if service.Annotations[internalLB] != "" || service.Labels[networkLabel] != networkOf(member) {
		return fmt.Errorf("%s of %s was changed: annotations %v, labels %v", gatewayName, member, service.Annotations, service.Labels)
	}
	if _, err := get(pinnedName); !apierrors.IsNotFound(err) {
		return errors.Join(fmt.Errorf("%s is in %s", pinnedName, member), err)
	}
	return nil
}

// forgetUpgrades deletes the records that were not there before.
func (s *suite) forgetUpgrades(t *testing.T, before []meshv1alpha1.MeshUpgrade) {
	t.Helper()
	await(t, "the records are gone", func(ctx context.Context) error {
		now, err := s.upgrades(ctx)
		if err != nil {
			return err
		}
		for i := range now {
			if i < len(before) {
				continue
			}
			if err := client.IgnoreNotFound(s.hub.admin.Delete(ctx, &now[i])); err != nil {
				return err
			}
		}
		if len(now) > len(before) {
			return fmt.Errorf("%d records, want %d", len(now), len(before))
		}
		return nil
	})
}
