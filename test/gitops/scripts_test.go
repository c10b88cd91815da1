package gitops

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	meshv1alpha1 "github.com/meshfleet/meshfleet/api/v1alpha1"
	"github.com/meshfleet/meshfleet/internal/testutil"
)

// kinds are those of the API, and healths the states that Argo CD shows.
var (
	kinds   = []string{"MeshInstallation", "MeshMember", "MeshUpgrade", "MeshApproval"}
	healths = []string{"Progressing", "Suspended", "Degraded", "Healthy"}
)

// healthTest is the file health_test.yaml of a kind, in the format of Argo CD.
type healthTest struct {
	Tests []struct {
		HealthStatus struct {
			Status  string `json:"status"`
			Message string `json:"message"`
		} `json:"healthStatus"`
		InputPath string `json:"inputPath"`
	} `json:"tests"`
}

// TestEveryKindIsTestedInEveryState wants a health check of each kind, a test of it for each state that Argo CD shows, and a test for each
// recorded object.
func TestEveryKindIsTestedInEveryState(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			dir := testutil.InRepository("config", "argocd", group, kind)
			if _, err := os.Stat(filepath.Join(dir, "health.lua")); err != nil {
				t.Error(err)
			}
			content, err := os.ReadFile(filepath.Join(dir, "health_test.yaml"))
			testutil.Must(t, err)
			tests, states, inputs := healthTest{}, []string{}, []string{}
			testutil.Must(t, yaml.UnmarshalStrict(content, &tests))
			for _, c := range tests.Tests {
				states, inputs = append(states, c.HealthStatus.Status), append(inputs, c.InputPath)
			}
			for _, health := range healths {
				if !slices.Contains(states, health) {
					t.Errorf("no test of the health %s", health)
				}
			}
			for _, r := range records(t, group+"/"+kind+"/testdata") {
				if !slices.Contains(inputs, "testdata/"+r.name+".yaml") {
					t.Errorf("no test of %s", r.path)
				}
			}
		})
	}
}

// TestEveryPhaseOfAnUpgradeIsRecorded wants a recorded MeshUpgrade in each phase of the API.
func TestEveryPhaseOfAnUpgradeIsRecorded(t *testing.T) {
	recorded := map[string]bool{}
	for _, r := range records(t, group+"/MeshUpgrade/testdata") {
		u := &meshv1alpha1.MeshUpgrade{}
		r.read(t, u)
		recorded[string(u.Status.Phase)] = true
	}
	found := 0
	for name, value := range testutil.APIConstants(t, "meshupgrade_types.go") {
		if !strings.HasPrefix(name, "Upgrade") {
			continue
		}
		if found++; !recorded[value] {
			t.Errorf("no recorded MeshUpgrade has the phase %s", value)
		}
	}
	if found == 0 {
		t.Error("no phases found in the API")
	}
}

// word is what a script compares with a field of an object: a text, or the name of a key in a table of such texts.
var word = regexp.MustCompile(`"([A-Z][A-Za-z]+)"|\b([A-Z][A-Za-z]+) = (?:true|")|conditions\.([A-Z][A-Za-z]+)`)

// TestScriptsNameOnlyWhatTheAPIHas looks up the words of the scripts among the constants of the API. A word that is misspelled, or that the
// API does not have any more, would never match.
func TestScriptsNameOnlyWhatTheAPIHas(t *testing.T) {
	known := map[string]bool{"True": true, "False": true}
	for _, health := range healths {
		known[health] = true
	}
	for _, value := range testutil.APIConstants(t, "*.go") {
		known[value] = true
	}
	found := 0
	for path, script := range scripts(t) {
		for _, m := range word.FindAllStringSubmatch(script, -1) {
			found++
			if name := m[1] + m[2] + m[3]; !known[name] {
				t.Errorf("%s: the API has no constant %q", path, name)
			}
		}
	}
	if found == 0 {
		t.Error("the scripts name nothing")
	}
}

// reasonKey is a reason that a script compares, or has in a table.
var reasonKey = regexp.MustCompile(`(?m)^  ([A-Z][A-Za-z]+) = true,$|reason == "([A-Z][A-Za-z]+)"`)

// reasonField is the reason of a recorded condition.
var reasonField = regexp.MustCompile(`(?m)^ +reason: (\w+)$`)

// TestEveryReasonOfAScriptIsRecorded wants an object with each reason that a health check names, and no object with a reason that the API
// does not have.
func TestEveryReasonOfAScriptIsRecorded(t *testing.T) {
	reasons := map[string]bool{}
	for name, value := range testutil.APIConstants(t, "conditions.go") {
		if strings.HasPrefix(name, "Reason") {
			reasons[value] = true
		}
	}
	for _, kind := range kinds {
		recorded := map[string]bool{}
		for _, r := range records(t, group+"/"+kind+"/testdata") {
			for _, m := range reasonField.FindAllStringSubmatch(string(r.content), -1) {
				recorded[m[1]] = true
				if !reasons[m[1]] {
					t.Errorf("%s: the API has no reason %s", r.path, m[1])
				}
			}
		}
		for _, m := range reasonKey.FindAllStringSubmatch(scripts(t)[group+"/"+kind+"/health.lua"], -1) {
			if name := m[1] + m[2]; reasons[name] && !recorded[name] {
				t.Errorf("no recorded %s has the reason %s", kind, name)
			}
		}
	}
}

// TestActionsWriteWhatTheAPIHas compares the scripts of actions with the constants of the API.
func TestActionsWriteWhatTheAPIHas(t *testing.T) {
	all := scripts(t)
	annotate := func(action meshv1alpha1.UpgradeAction) string {
		return fmt.Sprintf("obj.metadata.annotations[%q] = %q\n", meshv1alpha1.AnnotationAction, action)
	}
	decide := func(decision meshv1alpha1.Decision) string { return fmt.Sprintf("obj.spec.decision = %q\n", decision) }
	for path, want := range map[string]string{
		group + "/MeshUpgrade/actions/pause/action.lua":                       annotate(meshv1alpha1.UpgradeActionPause),
		group + "/MeshUpgrade/actions/resume/action.lua":                      fmt.Sprintf("obj.metadata.annotations[%q] = nil\n", meshv1alpha1.AnnotationAction),
		group + "/MeshUpgrade/actions/abort/action.lua":                       annotate(meshv1alpha1.UpgradeActionAbort),
		group + "/MeshUpgrade/actions/retry/action.lua":                       annotate(meshv1alpha1.UpgradeActionRetry),
		group + "/MeshUpgrade/actions/discovery.lua":                          fmt.Sprintf("[%q]", meshv1alpha1.AnnotationAction),
		"approvals/mesh.meshfleet.io/MeshApproval/actions/approve/action.lua": decide(meshv1alpha1.DecisionApproved),
		"approvals/mesh.meshfleet.io/MeshApproval/actions/reject/action.lua":  decide(meshv1alpha1.DecisionRejected),
	} {
		if !strings.Contains(all[path], want) {
			t.Errorf("config/argocd/%s does not contain %q:\n%s", path, want, all[path])
		}
	}
}

// TestNoActionDecidesByDefault wants the actions that decide approvals apart: Argo CD runs an action also where its discovery disables it.
func TestNoActionDecidesByDefault(t *testing.T) {
	for path, script := range scripts(t) {
		if !strings.HasPrefix(path, "approvals/") && strings.Contains(script, "spec.decision") {
			t.Errorf("config/argocd/%s reads or writes a decision", path)
		}
	}
	content, err := os.ReadFile(testutil.InRepository("config", "argocd", "argocd-cm.yaml"))
	testutil.Must(t, err)
	if strings.Contains(string(content), "customizations.actions.mesh.meshfleet.io_MeshApproval") {
		t.Error("config/argocd/argocd-cm.yaml has actions of MeshApprovals")
	}
}

// scripts are the Lua scripts, by their paths below config/argocd.
func scripts(t *testing.T) map[string]string {
	t.Helper()
	root := testutil.InRepository("config", "argocd")
	out := map[string]string{}
	for _, pattern := range []string{"*/*/*/health.lua", "*/*/*/actions/discovery.lua", "*/*/*/actions/*/action.lua"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		testutil.Must(t, err)
		if len(found) == 0 {
			t.Fatalf("config/argocd has no %s", pattern)
		}
		for _, path := range found {
			content, err := os.ReadFile(path)
			testutil.Must(t, err)
			out[strings.TrimPrefix(path, root+"/")] = string(content)
		}
	}
	return out
}
