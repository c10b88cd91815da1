package envtest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
)

var both = []string{"east", "west"}

// install makes the mesh of two members and looks at everything that it consists of.
func (s *suite) install(t *testing.T) {
	for _, name := range both {
		s.members[name].stage.hold(addresses)
		s.members[name].stage.hold(gatewayName)
		s.writeKubeconfig(t, name, s.members[name].kubeconfig(t))
	}
	must(t, s.hub.admin.Create(t.Context(), shop(meshName, withMember("east"), withMember("west"))))

	t.Run("a gateway is announced last", s.announcement)
	s.awaitReady(t, both...)
	t.Run("status of the mesh", s.meshStatus)
	t.Run("printer columns", s.printerColumns)
	t.Run("events", s.transitions)
	for _, name := range both {
		t.Run(name, func(t *testing.T) {
			c := s.members[name]
			t.Run("status", func(t *testing.T) { s.memberStatus(t, name) })
			t.Run("cacerts come before istiod", func(t *testing.T) { cacertsFirst(t, c) })
			t.Run("permissions come before the token of readers", func(t *testing.T) { readersFirst(t, c) })
			t.Run("istiod decides when validation fails closed", func(t *testing.T) { failsClosed(t, c) })
			t.Run("tags point at the revision", func(t *testing.T) { tags(t, c) })
			t.Run("remote secrets lead to the peers", func(t *testing.T) { remoteSecrets(t, c, s.peersOf(name, both)) })
			t.Run("inventories list what there is", func(t *testing.T) { inventories(t, c) })
		})
	}
}

// announcement lets the gateways get ready step by step. Peers are told by the network label of the Service.
func (s *suite) announcement(t *testing.T) {
	for _, step := range []struct {
		awaited, release string
	}{
		{meshv1alpha1.ReasonWaitingForAddress, addresses},
		{meshv1alpha1.ReasonWaitingForGateway, gatewayName},
	} {
		for _, name := range both {
			await(t, name+" says "+step.awaited, func(ctx context.Context) error {
				m, err := s.member(ctx, name)
				if err != nil {
					return err
				}
				return errors.Join(
					has(m.Status.Conditions, meshv1alpha1.ConditionGatewaysReady, metav1.ConditionFalse, step.awaited),
					has(m.Status.Conditions, meshv1alpha1.ConditionReady, metav1.ConditionUnknown, step.awaited),
					has(m.Status.Conditions, meshv1alpha1.ConditionReconciling, metav1.ConditionTrue, step.awaited),
					has(m.Status.Conditions, meshv1alpha1.ConditionControlPlanesReady, metav1.ConditionTrue, meshv1alpha1.ReasonReady),
					has(m.Status.Conditions, meshv1alpha1.ConditionTrustRootReady, metav1.ConditionTrue, meshv1alpha1.ReasonReady),
				)
			})
			if label := s.networkLabel(t, name); label != "" {
				t.Errorf("%s: the Service has the network label %q while the member says %s", name, label, step.awaited)
			}
			if m, err := s.member(t.Context(), name); err != nil || m.Status.Gateway.Announced != nil {
				t.Errorf("%s: announced at %v while the member says %s (%v)", name, m.Status.Gateway.Announced, step.awaited, err)
			}
		}
		for _, name := range both {
			s.members[name].stage.release(step.release)
		}
	}
	for _, name := range both {
		await(t, name+" announces its gateway", func(context.Context) error {
			if label := s.networkLabel(t, name); label != networkOf(name) {
				return fmt.Errorf("the network label is %q, want %q", label, networkOf(name))
			}
			return nil
		})
	}
}

func (s *suite) networkLabel(t *testing.T, name string) string {
	t.Helper()
	service := &corev1.Service{}
	must(t, s.members[name].admin.Get(t.Context(), client.ObjectKey{Namespace: controlPlaneNamespace, Name: gatewayName}, service))
	return service.Labels[networkLabel]
}
