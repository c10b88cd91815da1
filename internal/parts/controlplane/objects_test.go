package controlplane

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/apply"
	"github.com/meshfleet/meshfleet/internal/istio/charts"
	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/mesh"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

var chartsDir = testutil.InRepository("bin", "charts")

// packaged are the charts that `make charts` packages, read once for all tests.
var packaged = charts.NewLibrary(chartsDir)

func library(t *testing.T) *charts.Library {
	t.Helper()
	if _, err := os.Stat(chartsDir); err != nil {
		t.Fatalf("charts missing, run `make charts`: %v", err)
	}
	return packaged
}

// at makes a member run one revision of the version, and the default tag and prod point at it.
func at(versions ...string) func(*meshv1alpha1.MeshMember) {
	return func(m *meshv1alpha1.MeshMember) {
		m.Spec.Revisions = nil
		for _, v := range versions {
			m.Spec.Revisions = append(m.Spec.Revisions, meshv1alpha1.Revision{Name: mesh.RevisionName(v), Version: v})
		}
		m.Spec.DefaultRevision = m.Spec.Revisions[0].Name
		m.Spec.Tags = []meshv1alpha1.Tag{{Name: "prod", Revision: m.Spec.DefaultRevision}}
	}
}

// names are the kinds and names of a component's objects, sorted.
func names(c apply.Component) string {
	var out []string
	for _, o := range c.Objects {
		name := o.GetKind() + " " + o.GetName()
		if o.GetNamespace() != "" {
			name = o.GetKind() + " " + o.GetNamespace() + "/" + o.GetName()
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return fmt.Sprintf("component %s, shared: %v\n%s\n", c.Name, c.Shared, strings.Join(out, "\n"))
}

func TestComponents(t *testing.T) {
	lib := library(t)
	for _, version := range istioversion.Supported() {
		t.Run(version, func(t *testing.T) {
			m := testutil.Member("east", at(version))
			crds, base, err := From(lib).Foundation(&m.Spec)
			if err != nil {
				t.Fatal(err)
			}
			revision, err := From(lib).Revision(&m.Spec, &m.Spec.Revisions[0])
			if err != nil {
				t.Fatal(err)
			}
			tags, err := From(lib).Tags(&m.Spec, "")
			if err != nil {
				t.Fatal(err)
			}
			all := []apply.Component{crds, base, revision, tags}
			owners := map[string]string{}
			var text []string
			for _, c := range all {
				text = append(text, names(c))
				for _, o := range c.Objects {
					id := o.GetKind() + " " + o.GetNamespace() + "/" + o.GetName()
					if before, twice := owners[id]; twice {
						t.Errorf("%s is in %s and in %s", id, before, c.Name)
					}
					owners[id] = c.Name
				}
			}
			testutil.Golden(t, strings.Join(text, "\n"))
		})
	}
}

func TestFoundationIsOfTheNewestRevision(t *testing.T) {
	lib := library(t)
	m := testutil.Member("east", at("1.28.3", "1.29.1"))
	crds, base, err := From(lib).Foundation(&m.Spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range append(slices.Clone(crds.Objects), base.Objects...) {
		if v := o.GetLabels()["app.kubernetes.io/version"]; v != "1.29.1" {
			t.Errorf("%s %s is of %s", o.GetKind(), o.GetName(), v)
		}
	}
	// The default validator asks the default revision, whichever is newest.
	validator := first(base.Objects, "ValidatingWebhookConfiguration")
	webhooks, _, _ := unstructured.NestedSlice(validator.Object, "webhooks")
	service, _, _ := unstructured.NestedString(webhooks[0].(map[string]any), "clientConfig", "service", "name")
	if service != "istiod-1-28-3" {
		t.Errorf("the validator asks %q, want istiod of the default revision", service)
	}
}

func first(objects []*unstructured.Unstructured, kind string) *unstructured.Unstructured {
	i := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == kind })
	if i < 0 {
		return &unstructured.Unstructured{}
	}
	return objects[i]
}

func TestTagsPointAtTheirRevisions(t *testing.T) {
	lib := library(t)
	m := testutil.Member("east", at("1.28.3", "1.29.1"), func(m *meshv1alpha1.MeshMember) {
		m.Spec.Tags = []meshv1alpha1.Tag{{Name: "canary", Revision: "1-29-1"}}
	})
	c, err := From(lib).Tags(&m.Spec, "")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, o := range c.Objects {
		if o.GetKind() == "MutatingWebhookConfiguration" {
			got[o.GetLabels()["istio.io/tag"]] = o.GetLabels()["istio.io/rev"]
		}
	}
	want := map[string]string{"default": "1-28-3", "canary": "1-29-1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
}

func TestTagObjectsRefusesARevisionThatIsNotThere(t *testing.T) {
	m := testutil.Member("east", func(m *meshv1alpha1.MeshMember) { m.Spec.Tags = []meshv1alpha1.Tag{{Name: "prod", Revision: "gone"}} })
	if c, err := From(library(t)).Tags(&m.Spec, ""); err == nil {
		t.Errorf("got %d objects, want an error", len(c.Objects))
	}
}

func TestRevisionCarriesTheOperatorsValues(t *testing.T) {
	lib := library(t)
	for _, version := range istioversion.Supported() {
		t.Run(version, func(t *testing.T) {
			m := testutil.Member("east", at(version))
			m.Spec.Revisions[0].Values = testutil.JSON(map[string]any{"autoscaleMin": 3, "meshConfig": map[string]any{"accessLogFile": "/dev/stdout"}})
			c, err := From(lib).Revision(&m.Spec, &m.Spec.Revisions[0])
			if err != nil {
				t.Fatal(err)
			}
			got := environment(first(c.Objects, "Deployment"))
			for k, want := range map[string]string{"REVISION": mesh.RevisionName(version), "CLUSTER_ID": "east", "ISTIO_MULTIROOT_MESH": "true"} {
				if got[k] != want {
					t.Errorf("variable %s is %q, want %q", k, got[k], want)
				}
			}
			mesh := meshConfig(c.Objects)
			for _, want := range []string{"trustDomain: cluster.local", "PROXY_CONFIG_XDS_AGENT: \"true\"", "accessLogFile: /dev/stdout", "meshId: shop"} {
				if !strings.Contains(mesh, want) {
					t.Errorf("the mesh's configuration lacks %q:\n%s", want, mesh)
				}
			}
			least, _, _ := unstructured.NestedFieldNoCopy(first(c.Objects, "HorizontalPodAutoscaler").Object, "spec", "minReplicas")
			if fmt.Sprint(least) != "3" {
				t.Errorf("the autoscaler's minimum is %v, want the user's 3", least)
			}
		})
	}
}

// environment are the variables of istiod.
func environment(deployment *unstructured.Unstructured) map[string]string {
	out := map[string]string{}
	containers, _, _ := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "containers")
	for _, c := range containers {
		variables, _, _ := unstructured.NestedSlice(c.(map[string]any), "env")
		for _, v := range variables {
			m := v.(map[string]any)
			value, _ := m["value"].(string)
			out[m["name"].(string)] = value
		}
	}
	return out
}

func meshConfig(objects []*unstructured.Unstructured) string {
	for _, o := range objects {
		if text, ok, _ := unstructured.NestedString(o.Object, "data", "mesh"); ok {
			return text
		}
	}
	return ""
}

func TestUnknownVersionsAreToldApart(t *testing.T) {
	lib := library(t)
	m := testutil.Member("east", at("0.1.0"))
	if _, _, err := From(lib).Foundation(&m.Spec); !errors.Is(err, charts.ErrNoChart) {
		t.Errorf("foundation: error is %v, want ErrNoChart", err)
	}
	if _, err := From(lib).Revision(&m.Spec, &m.Spec.Revisions[0]); !errors.Is(err, charts.ErrNoChart) {
		t.Errorf("revision: error is %v, want ErrNoChart", err)
	}
	if _, err := From(lib).Tags(&m.Spec, ""); !errors.Is(err, charts.ErrNoChart) {
		t.Errorf("tags: error is %v, want ErrNoChart", err)
	}
}

// TestRevisionWithoutIstiod wants values with which the chart renders no istiod to be an error: the member would wait for ever.
func TestRevisionWithoutIstiod(t *testing.T) {
	for name, values := range map[string]map[string]any{
		"by a profile": {"profile": "remote"}, "by a profile for all charts": {"global": map[string]any{"profile": "remote"}},
		"by the scope": {"global": map[string]any{"resourceScope": "cluster"}},
	} {
		for _, version := range istioversion.Supported() {
			m := testutil.Member("east", at(version))
			m.Spec.Revisions[0].Values = testutil.JSON(values)
			_, err := From(library(t)).Revision(&m.Spec, &m.Spec.Revisions[0])
			if err == nil || !strings.Contains(err.Error(), "renders no istiod") {
				t.Errorf("%s, %s: error is %v", name, version, err)
			}
		}
	}
}
