package argocd

import (
	"path/filepath"
	"testing"

	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/gitops-engine/pkg/health"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// healthTests are the file health_test.yaml, in the format of Argo CD's own tests.
type healthTests struct {
	Tests []struct {
		InputPath    string              `json:"inputPath"`
		HealthStatus health.HealthStatus `json:"healthStatus"`
	} `json:"tests"`
}

// TestHealth runs every health_test.yaml: with the libraries that scripts of a ConfigMap have, and with those that built-in scripts have.
func TestHealth(t *testing.T) {
	all := lua.ResourceHealthOverrides(customizations(t, standard))
	for _, path := range glob(t, "resource_customizations/*/*/health_test.yaml") {
		tests, dir := healthTests{}, filepath.Dir(path)
		decode(t, path, &tests)
		if len(tests.Tests) == 0 {
			t.Errorf("%s has no tests", path)
		}
		for _, c := range tests.Tests {
			t.Run(filepath.Base(dir)+"/"+c.InputPath, func(t *testing.T) {
				o := object(t, filepath.Join(dir, c.InputPath))
				got, err := all.GetResourceHealth(o)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(&c.HealthStatus, got); diff != "" {
					t.Errorf("health (-want +got):\n%s", diff)
				}
				builtIn, err := lua.VM{UseOpenLibs: true}.ExecuteHealthLua(o, string(read(t, filepath.Join(dir, "health.lua"))))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(got, builtIn); diff != "" {
					t.Errorf("health as a built-in script (-ConfigMap +built-in):\n%s", diff)
				}
			})
		}
	}
}

// TestADeletionIsProgressing wants what Argo CD says of every object that is being deleted, before it asks a script.
func TestADeletionIsProgressing(t *testing.T) {
	o := object(t, filepath.Join(config, "resource_customizations/mesh.meshfleet.io/MeshInstallation/testdata/deleting.yaml"))
	got, err := health.GetResourceHealth(o, lua.ResourceHealthOverrides(customizations(t, standard)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&health.HealthStatus{Status: health.HealthStatusProgressing, Message: "Pending deletion"}, got); diff != "" {
		t.Errorf("health (-want +got):\n%s", diff)
	}
}

// healthOf runs a script of a ConfigMap over an object, written as JSON.
func healthOf(raw, script string) (*health.HealthStatus, error) {
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON([]byte(raw)); err != nil {
		return nil, err
	}
	return lua.VM{}.ExecuteHealthLua(o, script)
}
