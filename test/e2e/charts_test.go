//go:build e2e && upgrades

package e2e

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/charts/chartstest"
	"github.com/meshfleet/meshfleet/test/harness"
)

const (
	// laterPatch is a patch that is not in the operator's image: the charts of chartsFrom with another version.
	laterPatch = "1.31.9"
	chartsFrom = harness.NewestIstio
	// otherPatch is in the registry before laterPatch.
	otherPatch = "1.31.8"
)

// TestCharts upgrades a mesh to a patch whose charts are in a registry of its own, and takes the registry away.
func TestCharts(t *testing.T) {
	s := newSuite(t, harness.Options{IstioVersions: []string{chartsFrom}})
	if !t.Run("install", s.install) {
		t.FailNow()
	}
	installed, err := s.env.Installation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	registry := chartstest.Serve(t, hostAddress)
	registry.Push(t, chartstest.Packaged(t, chartsFrom, otherPatch)...)
	s.step(t, "a registry whose certificate is not trusted", func() error {
		var changeErr error
		if err := s.env.EditMesh(t.Context(), func(m *meshv1alpha1.MeshInstallation) {
			m.Spec.Version = laterPatch
			m.Spec.Charts = &meshv1alpha1.Charts{OCI: registry.Path}
			// The lab has images of one patch.
			changeErr = value(chartsFrom, "global", "tag")(m)
		}); cmp.Or(changeErr, err) != nil {
			return cmp.Or(changeErr, err)
		}
		return s.awaitCharts(t.Context(), meshv1alpha1.ReasonChartsTLS, "caBundle")
	})
	s.step(t, "a version that the registry does not have", func() error {
		if err := s.env.EditMesh(t.Context(), func(m *meshv1alpha1.MeshInstallation) { m.Spec.Charts.CABundle = registry.CA }); err != nil {
			return err
		}
		return s.awaitCharts(t.Context(), meshv1alpha1.ReasonChartNotFound, otherPatch)
	})
	registry.Push(t, chartstest.Packaged(t, chartsFrom, laterPatch)...)
	u := s.upgradeUnderLoad(t, s.env.Members(), meshv1alpha1.UpgradeSucceeded, func(m *meshv1alpha1.MeshInstallation) error {
		// Another setting of the source is tried at once.
		m.Spec.Charts.CABundle += "\n"
		return nil
	}, nil)
	s.requireUpgraded(t, u)
	s.checkTraffic(t)
	if u.Spec.To.Charts.IsZero() {
		t.Error("the MeshUpgrade has no digests")
	}
	registry.Stop()
	s.step(t, "the operator starts again without the registry", func() error {
		if err := s.env.RestartOperator(t.Context()); err != nil {
			return err
		}
		return cmp.Or(s.waitReady(t.Context()), s.awaitCharts(t.Context(), meshv1alpha1.ReasonReady, u.Spec.To.Charts.Istiod))
	})
	other := chartstest.Serve(t, strings.TrimSuffix(hostAddress, ":0")+":"+portOf(t, registry.Path))
	other.Push(t, chartstest.Packaged(t, chartsFrom, laterPatch)...)
	s.step(t, "a tag that was moved, with the hub's copy lost", func() error {
		if err := s.env.Hub.Client.DeleteAllOf(t.Context(), &corev1.ConfigMap{}, client.InNamespace(harness.OperatorNamespace),
			client.HasLabels{meshv1alpha1.LabelChart}); err != nil {
			return err
		}
		if err := s.env.RestartOperator(t.Context()); err != nil {
			return err
		}
		if err := s.env.EditMesh(t.Context(), func(m *meshv1alpha1.MeshInstallation) { m.Spec.Charts.CABundle = other.CA }); err != nil {
			return err
		}
		return cmp.Or(s.awaitCharts(t.Context(), meshv1alpha1.ReasonChartMoved, u.Spec.To.Charts.Istiod), s.waitReady(t.Context()))
	})
	other.Stop()
	back := s.upgradeUnderLoad(t, s.env.Members(), meshv1alpha1.UpgradeSucceeded, func(m *meshv1alpha1.MeshInstallation) error {
		m.Spec.Version, m.Spec.Charts, m.Spec.ControlPlane.Values = chartsFrom, nil, installed.Spec.ControlPlane.Values
		return nil
	}, nil)
	s.requireUpgraded(t, back)
	s.checkTraffic(t)
}

func portOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}

// awaitCharts waits until the mesh says this of its charts.
func (s *suite) awaitCharts(ctx context.Context, reason, text string) error {
	return harness.Await(ctx, "ChartsReady with the reason "+reason, readyDeadline, func(ctx context.Context) (done bool, seen string, err error) {
		m, err := s.env.Installation(ctx)
		if err != nil {
			return false, "", err
		}
		c := meta.FindStatusCondition(m.Status.Conditions, meshv1alpha1.ConditionChartsReady)
		if c == nil {
			return false, "no condition", nil
		}
		isOf := c.ObservedGeneration == m.Generation
		return isOf && c.Reason == reason && strings.Contains(c.Message, text), fmt.Sprintf("%s: %s", c.Reason, c.Message), nil
	})
}
