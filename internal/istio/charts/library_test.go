package charts

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"

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

func versions() []string { return []string{"1.28.3", "1.29.1"} }

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
