package charts

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	istioversion "github.com/meshfleet/meshfleet/internal/istio/version"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

var chartsDir = testutil.InRepository("bin", "charts")

// packaged are the charts that `make charts` packages, read once for all tests; without them these cannot say anything.
var packaged = NewLibrary(chartsDir)

func library(t *testing.T) *Library {
	t.Helper()
	if _, err := os.Stat(chartsDir); err != nil {
		t.Fatalf("charts missing, run `make charts`: %v", err)
	}
	return packaged
}

func versions() []string { return istioversion.Supported() }

func TestRender(t *testing.T) {
	lib := library(t)
	for _, version := range versions() {
		for name, values := range map[string]map[string]any{
			Base:    {"defaultRevision": "rev"},
			Istiod:  {"revision": "rev", "revisionTags": []any{"default", "prod"}},
			Gateway: {"name": "gw", "revision": "rev", "networkGateway": "net"},
		} {
			t.Run(version+"/"+name, func(t *testing.T) {
				req := Request{Version: version, Chart: name, Release: name, Namespace: "istio-system", Values: values}
				first, err := lib.Render(req)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, o := range first {
					got = append(got, strings.TrimPrefix(o.GetKind()+" "+o.GetNamespace()+"/"+o.GetName(), " "))
					if o.GetLabels()["app.kubernetes.io/version"] != version {
						t.Errorf("%s %s: version label is %q", o.GetKind(), o.GetName(), o.GetLabels()["app.kubernetes.io/version"])
					}
				}
				slices.Sort(got)
				testutil.Golden(t, strings.Join(got, "\n")+"\n")
				second, err := NewLibrary(chartsDir).Render(req)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(first, second); diff != "" {
					t.Errorf("second rendering differs (-first +second):\n%s", diff)
				}
			})
		}
	}
}

func TestRenderedRolesHaveNoWildcards(t *testing.T) {
	lib := library(t)
	for _, version := range versions() {
		objects, err := lib.Render(Request{Version: version, Chart: Istiod, Release: "istiod", Namespace: "istio-system", Values: map[string]any{"revision": "rev"}})
		if err != nil {
			t.Fatal(err)
		}
		roles := 0
		for _, o := range objects {
			if !strings.HasSuffix(o.GetKind(), "Role") {
				continue
			}
			roles++
			role := rbacv1.ClusterRole{}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role); err != nil {
				t.Fatal(err)
			}
			for _, r := range role.Rules {
				if slices.Contains(append(append(slices.Clone(r.Verbs), r.Resources...), r.APIGroups...), "*") {
					t.Errorf("%s: wildcard in %v", o.GetName(), r)
				}
			}
		}
		if roles < 4 {
			t.Errorf("%s: %d roles rendered, want at least 4", version, roles)
		}
	}
}

func TestRenderRefusesUnknownVersion(t *testing.T) {
	_, err := library(t).Render(Request{Version: "../1.29.1", Chart: "nothing"})
	if !errors.Is(err, ErrNoChart) {
		t.Errorf("error is %v, want ErrNoChart", err)
	}
}

// TestNullTakesADefaultAway wants null in values to delete the default of the chart, in every release.
func TestNullTakesADefaultAway(t *testing.T) {
	type object = map[string]any
	lib := library(t)
	cases := map[string]struct {
		chart  string
		values object
		// path below the first container of the Deployment
		path []string
		want any
	}{
		"a limit of the gateway":    {Gateway, object{"resources": object{"limits": object{"cpu": nil}}}, []string{"resources", "limits"}, object{"memory": "1024Mi"}},
		"all limits of the gateway": {Gateway, object{"resources": object{"limits": nil}}, []string{"resources"}, object{"requests": object{"cpu": "100m", "memory": "128Mi"}}},
		"a request of istiod":       {Istiod, object{"resources": object{"requests": object{"memory": nil}}}, []string{"resources", "requests"}, object{"cpu": "500m"}},
		"all requests of istiod":    {Istiod, object{"resources": object{"requests": nil}}, []string{"resources", "requests"}, nil},
		"the same below pilot":      {Istiod, object{"pilot": object{"resources": object{"requests": object{"memory": nil}}}}, []string{"resources", "requests"}, object{"cpu": "500m"}},
	}
	for name, c := range cases {
		for _, version := range versions() {
			t.Run(name+"/"+version, func(t *testing.T) {
				values := maps.Clone(c.values)
				values["revision"] = "rev"
				objects, err := lib.Render(Request{Version: version, Chart: c.chart, Release: c.chart, Namespace: "istio-system", Values: values})
				if err != nil {
					t.Fatal(err)
				}
				i := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == "Deployment" })
				containers, _, _ := unstructured.NestedSlice(objects[i].Object, "spec", "template", "spec", "containers")
				got, _, err := unstructured.NestedFieldNoCopy(containers[0].(map[string]any), c.path...)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("%v (-want +got):\n%s", c.path, diff)
				}
			})
		}
	}
}
