package envtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	"github.com/meshfleet/meshfleet/internal/istio/charts/chartstest"
	"github.com/meshfleet/meshfleet/internal/pinning"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// patch is a release that is not in the operator's image.
const patch = "1.29.9"

// TestCharts installs a release whose charts are in a registry, and takes the registry away.
func TestCharts(t *testing.T) {
	s := newSuite(t)
	s.operator.stop(t)
	s.charts = charts.NewLibrary(chartsDir).WithArchives(pinning.Archives{Reader: s.hub.admin, Writer: s.hub.admin, Namespace: operatorNamespace})
	s.operator = s.startOperator(t)
	registry := chartstest.Serve(t, "127.0.0.1:0")
	registry.Push(t, chartstest.Packaged(t, newer, "1.29.8")...)
	s.writeKubeconfig(t, "east", s.members["east"].kubeconfig(t))
	inst := shop(meshName, withMember("east"))
	inst.Spec.Version = patch
	if err := s.hub.admin.Create(t.Context(), inst.DeepCopy()); err == nil || !strings.Contains(err.Error(), "set spec.charts") {
		t.Fatalf("a release whose charts are nowhere: %v", err)
	}
	inst.Spec.Charts = &meshv1alpha1.Charts{OCI: registry.Path}
	must(t, s.hub.admin.Create(t.Context(), inst))
	s.awaitCharts(t, metav1.ConditionFalse, meshv1alpha1.ReasonChartsTLS, "spec.charts.caBundle")

	s.edit(t, func(inst *meshv1alpha1.MeshInstallation) { inst.Spec.Charts.CABundle = registry.CA })
	s.awaitCharts(t, metav1.ConditionFalse, meshv1alpha1.ReasonChartNotFound, "1.29.8")
	if m, err := s.member(t.Context(), "east"); !apierrors.IsNotFound(err) {
		t.Errorf("there is a work order without charts: %v, %v", m.Spec.Revisions, err)
	}

	first := chartstest.Packaged(t, newer, patch)
	registry.Push(t, first...)
	s.edit(t, func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.EastWestGateway.Values = testutil.JSON(map[string]any{"affinities": map[string]any{}})
		inst.Spec.Charts.Verify = &meshv1alpha1.ChartVerification{Digests: []string{first[0].Digest, first[1].Digest, first[2].Digest}}
	})
	s.awaitCharts(t, metav1.ConditionFalse, meshv1alpha1.ReasonInvalidValues, "spec.eastWestGateway.values.affinities")
	s.edit(t, func(inst *meshv1alpha1.MeshInstallation) {
		inst.Spec.EastWestGateway.Values, inst.Spec.Charts.Verify = nil, nil
	})
	s.awaitReady(t, "east")
	s.awaitCharts(t, metav1.ConditionTrue, meshv1alpha1.ReasonReady, first[1].Digest)
	m, err := s.member(t.Context(), "east")
	must(t, err)
	if r := m.Spec.Revisions[0]; r.Charts.Istiod != first[1].Digest || m.Spec.ReaderCharts != r.Charts || !strings.HasPrefix(r.Name, "1-29-9-v") {
		t.Errorf("work order: revision %+v, charts of readers %+v", r, m.Spec.ReaderCharts)
	}

	registry.Push(t, chartstest.Packaged(t, version, patch)...)
	must(t, s.hub.admin.DeleteAllOf(t.Context(), &corev1.ConfigMap{}, client.InNamespace(operatorNamespace), client.HasLabels{meshv1alpha1.LabelChart}))
	s.operator.stop(t)
	s.charts = charts.NewLibrary(chartsDir).WithArchives(pinning.Archives{Reader: s.hub.admin, Writer: s.hub.admin, Namespace: operatorNamespace})
	s.operator = s.startOperator(t)
	s.awaitCharts(t, metav1.ConditionFalse, meshv1alpha1.ReasonChartMoved, first[0].Digest)
	registry.Stop()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: controlPlaneNamespace, Name: "istiod-" + m.Spec.Revisions[0].Name}}
	must(t, s.members["east"].admin.Delete(t.Context(), d.DeepCopy()))
	await(t, "istiod is made again without charts", func(ctx context.Context) error {
		if err := s.members["east"].admin.Get(ctx, client.ObjectKeyFromObject(d), d); err != nil {
			return err
		}
		if image := d.Spec.Template.Spec.Containers[0].Image; !strings.HasSuffix(image, ":"+patch) {
			return fmt.Errorf("its image is %s", image)
		}
		return nil
	})
	await(t, "the mesh is ready without charts", func(ctx context.Context) error {
		inst, err := s.installation(ctx)
		if err == nil && !meta.IsStatusConditionTrue(inst.Status.Conditions, meshv1alpha1.ConditionReady) {
			err = errors.New(describe(inst.Status.Conditions))
		}
		return err
	})
}

// noticed is how soon a change must have an effect: less than the shortest pause between two looks at what has failed.
const noticed = 10 * time.Second

// TestChartsInAConfigMap wants a ConfigMap with charts to be read again when it is made and when it changes.
func TestChartsInAConfigMap(t *testing.T) {
	s := newSuite(t)
	s.operator.stop(t)
	s.charts = charts.NewLibrary(chartsDir).WithArchives(pinning.Archives{Reader: s.hub.admin, Writer: s.hub.admin, Namespace: operatorNamespace})
	s.operator = s.startOperator(t)
	s.writeKubeconfig(t, "east", s.members["east"].kubeconfig(t))
	inst := shop(meshName, withMember("east"))
	inst.Spec.Version = patch
	inst.Spec.Charts = &meshv1alpha1.Charts{Archives: &meshv1alpha1.ChartArchives{ConfigMapRef: &meshv1alpha1.ObjectName{Name: "istio-charts"}}}
	must(t, s.hub.admin.Create(t.Context(), inst))
	s.awaitCharts(t, metav1.ConditionFalse, meshv1alpha1.ReasonChartNotFound, "ConfigMap istio-charts does not exist")

	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "istio-charts"}}
	content := func(version string) map[string][]byte {
		data := map[string][]byte{}
		for _, a := range chartstest.Packaged(t, newer, version) {
			data[a.Name+".tgz"] = a.Data
		}
		return data
	}
	cm.BinaryData = content("1.29.8")
	from := time.Now()
	must(t, s.hub.admin.Create(t.Context(), cm))
	s.awaitCharts(t, metav1.ConditionFalse, meshv1alpha1.ReasonChartNotFound, "1.29.8")
	cm.BinaryData = content(patch)
	must(t, s.hub.admin.Update(t.Context(), cm))
	s.awaitCharts(t, metav1.ConditionTrue, meshv1alpha1.ReasonReady, "configmap/istio-charts")
	if took := time.Since(from); took > noticed {
		t.Errorf("both changes took %s, want less than %s", took, noticed)
	}
}

// awaitCharts waits until the mesh says this of its charts.
func (s *suite) awaitCharts(t *testing.T, state metav1.ConditionStatus, reason, text string) {
	t.Helper()
	await(t, "charts: "+reason, func(ctx context.Context) error {
		inst, err := s.installation(ctx)
		if err != nil {
			return err
		}
		c := meta.FindStatusCondition(inst.Status.Conditions, meshv1alpha1.ConditionChartsReady)
		if c == nil || c.Status != state || c.Reason != reason || !strings.Contains(c.Message, text) || c.ObservedGeneration != inst.Generation {
			return fmt.Errorf("generation %d: %s", inst.Generation, describe(inst.Status.Conditions))
		}
		return nil
	})
}
