package argocd

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// actionTests are the file action_test.yaml, in the format of Argo CD's own tests.
type actionTests struct {
	DiscoveryTests []struct {
		InputPath string                    `json:"inputPath"`
		Result    []v1alpha1.ResourceAction `json:"result"`
	} `json:"discoveryTests"`
	ActionTests []actionTest `json:"actionTests"`
}

type actionTest struct {
	Action             string `json:"action"`
	InputPath          string `json:"inputPath"`
	ExpectedOutputPath string `json:"expectedOutputPath"`
}

// TestActions runs every action_test.yaml, and wants a test of each action that a discovery offers.
func TestActions(t *testing.T) {
	vm := lua.VM{ResourceOverrides: customizations(t, standard, approvals)}
	for _, path := range glob(t, "*/*/*/actions/action_test.yaml") {
		tests, dir := actionTests{}, filepath.Dir(path)
		decode(t, path, &tests)
		offered, tested := map[string]bool{}, map[string]bool{}
		kind := filepath.Base(filepath.Dir(dir))
		for _, c := range tests.DiscoveryTests {
			for _, action := range c.Result {
				offered[action.Name] = true
			}
			t.Run(kind+"/discovery/"+c.InputPath, func(t *testing.T) {
				got := discover(t, vm, object(t, filepath.Join(dir, c.InputPath)))
				want := slices.SortedFunc(slices.Values(c.Result), byName)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("actions (-want +got):\n%s", diff)
				}
			})
		}
		for _, c := range tests.ActionTests {
			tested[c.Action] = true
			t.Run(kind+"/"+c.Action+"/"+c.InputPath, func(t *testing.T) { c.run(t, vm, dir) })
		}
		if diff := cmp.Diff(slices.Sorted(maps.Keys(offered)), slices.Sorted(maps.Keys(tested))); diff != "" {
			t.Errorf("actions of %s (-offered +tested):\n%s", kind, diff)
		}
	}
}

// discover returns the actions that Argo CD shows for an object, in the order of their names.
func discover(t *testing.T, vm lua.VM, o *unstructured.Unstructured) []v1alpha1.ResourceAction {
	t.Helper()
	scripts, err := vm.GetResourceActionDiscovery(o)
	if err != nil {
		t.Fatal(err)
	}
	if len(scripts) == 0 {
		return nil
	}
	actions, err := vm.ExecuteResourceActionDiscovery(o, scripts)
	if err != nil {
		t.Fatal(err)
	}
	return slices.SortedFunc(slices.Values(actions), byName)
}

func byName(a, b v1alpha1.ResourceAction) int { return strings.Compare(a.Name, b.Name) }

// run wants an action to patch its object, and nothing else.
func (c actionTest) run(t *testing.T, vm lua.VM, dir string) {
	before := object(t, filepath.Join(dir, c.InputPath))
	action, err := vm.GetResourceAction(before, c.Action)
	if err != nil {
		t.Fatal(err)
	}
	got, err := vm.ExecuteResourceAction(before, action.ActionLua, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].K8SOperation != lua.PatchOperation {
		t.Fatalf("the action changes %v, want one patch", got)
	}
	want := object(t, filepath.Join(dir, c.ExpectedOutputPath))
	if diff := cmp.Diff(plain(t, want), plain(t, got[0].UnstructuredObj)); diff != "" {
		t.Errorf("object (-want +got):\n%s", diff)
	}
}

// plain is an object as JSON has it: the engine makes other types of numbers.
func plain(t *testing.T, o *unstructured.Unstructured) map[string]any {
	t.Helper()
	raw, err := json.Marshal(o.Object)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestNobodyDecidesByDefault wants no action on MeshApprovals without the second ConfigMap. A disabled action would not be enough: Argo CD runs
// it if it is asked to.
func TestNobodyDecidesByDefault(t *testing.T) {
	vm := lua.VM{ResourceOverrides: customizations(t, standard)}
	pending := object(t, filepath.Join(config, "approvals/mesh.meshfleet.io/MeshApproval/actions/testdata/pending.yaml"))
	if got := discover(t, vm, pending); len(got) > 0 {
		t.Errorf("actions are %v, want none", got)
	}
	for _, name := range []string{"approve", "reject"} {
		if action, err := vm.GetResourceAction(pending, name); err == nil {
			t.Errorf("there is an action %s: %s", name, action.ActionLua)
		}
	}
}
