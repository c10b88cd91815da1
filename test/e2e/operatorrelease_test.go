//go:build e2e && upgrades

package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/test/harness"
)

const (
	// observeFor is how long another operator is observed before it may change anything.
	observeFor = 45 * time.Second
	// renderedBy is the annotation by which an operator that renders differently marks pods.
	renderedBy = "mesh.meshfleet.io/rendered-by"
)

// operatorRendersDifferently lets an operator take over that renders every release of Istio differently. What serves stays as it is. The
// other rendering is an upgrade of its own, here planned first, and loses no request.
func (s *suite) operatorRendersDifferently(t *testing.T) {
	ctx := t.Context()
	s.patience(t, 2*time.Minute)
	s.step(t, "let upgrades be planned only", func() error {
		return s.env.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) { m.Spec.Upgrade.Mode = meshv1alpha1.UpgradeModePlan })
	})
	s.replaceOperator(t, map[string]string{"rendering": "b"})
	u := s.upgradeUnderLoad(t, s.env.Members(), meshv1alpha1.UpgradeSucceeded, func(m *meshv1alpha1.MeshInstallation) error {
		m.Spec.Upgrade.Mode = meshv1alpha1.UpgradeModeRun
		return nil
	}, nil)
	if u.Spec.To.Version != u.Spec.From.Version || u.Spec.To.Revision == u.Spec.From.Revision {
		t.Errorf("the upgrade goes from %s (%s) to %s (%s), want another revision of the same version",
			u.Spec.From.Revision, u.Spec.From.Version, u.Spec.To.Revision, u.Spec.To.Version)
	}
	s.requireUpgraded(t, u)
	s.step(t, "istiod and gateways are rendered by the other operator", func() error {
		return s.env.EachMember(func(c *harness.Cluster) error {
			list := &appsv1.DeploymentList{}
			if err := c.Client.List(ctx, list, client.InNamespace(istioSystem)); err != nil {
				return err
			}
			for i := range list.Items {
				if got := list.Items[i].Spec.Template.Annotations[renderedBy]; got != "b" {
					return fmt.Errorf("%s: Deployment %s is rendered by %q", c.Name, list.Items[i].Name, got)
				}
			}
			return nil
		})
	})
}

// operatorWithoutRelease lets an operator take over that does not know the release of the mesh. What serves stays as it is, and an upgrade
// to a release that it knows loses no request. Then the operator as it is released takes over.
func (s *suite) operatorWithoutRelease(t *testing.T) {
	ctx := t.Context()
	s.patience(t, 2*time.Minute)
	s.replaceOperator(t, map[string]string{"rendering": "b", "withheld": newVersion})
	u := s.upgradeUnderLoad(t, s.env.Members(), meshv1alpha1.UpgradeSucceeded, func(m *meshv1alpha1.MeshInstallation) error {
		m.Spec.Version = oldVersion
		return nil
	}, nil)
	s.requireUpgraded(t, u)
	s.step(t, "let upgrades be planned only", func() error {
		return s.env.EditMesh(ctx, func(m *meshv1alpha1.MeshInstallation) { m.Spec.Upgrade.Mode = meshv1alpha1.UpgradeModePlan })
	})
	s.replaceOperator(t, nil)
}

// replaceOperator lets another operator take over and wants it to leave everything in members as it is.
func (s *suite) replaceOperator(t *testing.T, variables map[string]string) {
	t.Helper()
	ctx := t.Context()
	var before map[string]string
	s.step(t, fmt.Sprintf("replace the operator by one with %v", variables), func() (err error) {
		if before, err = s.serving(ctx); err != nil {
			return err
		}
		return s.env.ReplaceOperator(ctx, variables)
	})
	s.step(t, "nothing that serves changes", func() error {
		for start := time.Now(); time.Since(start) < observeFor; time.Sleep(time.Second) {
			now, err := s.serving(ctx)
			if err != nil {
				return err
			}
			for _, what := range slices.Sorted(maps.Keys(before)) {
				if now[what] != before[what] {
					return fmt.Errorf("%s was %s and is %q", what, before[what], now[what])
				}
			}
		}
		return s.waitReachable(ctx)
	})
}

// serving are the objects that serve, with what changes when they are changed.
func (s *suite) serving(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	for _, member := range s.env.Members() {
		c := s.env.Cluster(member).Client
		deployments, pods, services := &appsv1.DeploymentList{}, &corev1.PodList{}, &corev1.ServiceList{}
		injectors := &admissionregistrationv1.MutatingWebhookConfigurationList{}
		for _, list := range []client.ObjectList{deployments, pods, services} {
			if err := c.List(ctx, list, client.InNamespace(istioSystem)); err != nil {
				return nil, err
			}
		}
		if err := c.List(ctx, injectors); err != nil {
			return nil, err
		}
		for i := range deployments.Items {
			out[member+": Deployment "+deployments.Items[i].Name] = fmt.Sprintf("generation %d", deployments.Items[i].Generation)
		}
		for i := range pods.Items {
			out[member+": Pod "+pods.Items[i].Name] = string(pods.Items[i].UID)
		}
		for i := range services.Items {
			out[member+": Service "+services.Items[i].Name] = services.Items[i].ResourceVersion
		}
		for i := range injectors.Items {
			out[member+": MutatingWebhookConfiguration "+injectors.Items[i].Name] = fmt.Sprintf("generation %d", injectors.Items[i].Generation)
		}
	}
	return out, nil
}

// waitReachable waits until the operator has connected every member.
func (s *suite) waitReachable(ctx context.Context) error {
	for _, member := range s.env.Members() {
		if _, err := s.env.WaitCondition(ctx, member, meshv1alpha1.ConditionReady, isTrue, readyDeadline); err != nil {
			return err
		}
	}
	return nil
}
