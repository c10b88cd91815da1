package flux

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/runtime/cel"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const (
	kinds   = "../../config/argocd/resource_customizations/mesh.meshfleet.io"
	samples = "../../config/samples/gitops"
)

// byKStatus is what Flux makes of the objects without health check expressions. docs/gitops.md explains what it cannot know: an object
// without status is Current, nothing is suspended, and a member is Current while an upgrade changes it.
var byKStatus = map[string]map[status.Status][]string{
	"MeshInstallation": {
		status.CurrentStatus: {"credential_expiring", "no_status", "ready"},
		status.InProgressStatus: {
			"generation_not_observed", "installing", "member_not_planned", "member_unreachable", "paused", "planned", "retrying", "rolling_back",
			"stopping", "upgrading", "waiting_for_approval", "waiting_for_window",
		},
		status.FailedStatus:      {"invalid_waves", "member_stalled", "plan_refused", "upgrade_aborted", "upgrade_failed"},
		status.TerminatingStatus: {"deleting"},
	},
	"MeshMember": {
		status.CurrentStatus: {
			"no_status", "ready", "upgrade_inconclusive", "upgrade_preflight", "upgrade_retiring", "upgrade_stage_failed", "upgrading",
		},
		status.InProgressStatus: {"generation_not_observed", "joining", "leaving", "retrying", "unreachable"},
		status.FailedStatus:     {"stalled"},
	},
	"MeshUpgrade": {
		status.CurrentStatus:    {"no_status", "succeeded", "succeeded_without_west"},
		status.InProgressStatus: {"planning", "rolling_back", "running", "stopping", "superseding", "waiting_for_window"},
		status.FailedStatus: {
			"aborted", "failed", "gates_inconclusive", "members_failed", "members_not_reporting", "paused", "paused_by_spec", "plan_refused", "planned",
			"preflight_blocked", "rejected", "stopped", "superseded", "unknown_action", "waiting_for_approval",
		},
	},
	"MeshApproval": {
		status.CurrentStatus:    {"approved", "expired", "no_status", "not_needed", "rejected"},
		status.InProgressStatus: {"decision_not_observed", "waiting_for_upgrade"},
		status.FailedStatus:     {"upgrade_mismatch", "waiting_for_decision"},
	},
}

func TestKStatus(t *testing.T) {
	for kind, want := range byKStatus {
		t.Run(kind, func(t *testing.T) {
			got := map[status.Status][]string{}
			for name, object := range records(t, kind) {
				result, err := status.Compute(object)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				got[result.Status] = append(got[result.Status], name)
			}
			for _, names := range got {
				slices.Sort(names)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("records by their status (-want +got):\n%s", diff)
			}
		})
	}
}

// byExpressions is what the expressions of the sample make of what Argo CD shows. Flux has no state for a mesh that waits for a person.
var byExpressions = map[string]status.Status{
	"Healthy": status.CurrentStatus, "Suspended": status.CurrentStatus, "Progressing": status.InProgressStatus, "Degraded": status.FailedStatus,
}

// TestExpressionsOfTheSample evaluates the health check expressions of the sample as Flux does, and compares the result with the health that
// the tests for Argo CD expect.
func TestExpressionsOfTheSample(t *testing.T) {
	sample := &kustomizev1.Kustomization{}
	decode(t, filepath.Join(samples, "flux", "mesh.yaml"), sample)
	if len(sample.Spec.HealthCheckExprs) != 1 || sample.Spec.HealthCheckExprs[0].Kind != "MeshInstallation" {
		t.Fatalf("health check expressions are %v, want those of MeshInstallation", sample.Spec.HealthCheckExprs)
	}
	evaluator, err := cel.NewStatusEvaluator(&sample.Spec.HealthCheckExprs[0].HealthCheckExpressions)
	if err != nil {
		t.Fatal(err)
	}
	healths := healthsForArgoCD(t, "MeshInstallation")
	for name, object := range records(t, "MeshInstallation") {
		t.Run(name, func(t *testing.T) {
			got, err := evaluator.Evaluate(t.Context(), object)
			if object.Object["status"] == nil {
				// Flux waits while an expression cannot be evaluated.
				if err == nil || !strings.Contains(err.Error(), "no such attribute") {
					t.Errorf("error is %v, want that there is no status", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := byExpressions[healths[name]]; got.Status != want {
				t.Errorf("status is %s, want %s, because Argo CD shows %s", got.Status, want, healths[name])
			}
		})
	}
}

// records are the recorded objects of a kind, by their names.
func records(t *testing.T, kind string) map[string]*unstructured.Unstructured {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(kinds, kind, "testdata", "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d recorded objects of %s: %v", len(paths), kind, err)
	}
	out := map[string]*unstructured.Unstructured{}
	for _, path := range paths {
		raw, err := yaml.YAMLToJSON(read(t, path))
		if err != nil {
			t.Fatal(err)
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(raw); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out[strings.TrimSuffix(filepath.Base(path), ".yaml")] = object
	}
	return out
}

// healthsForArgoCD are the healths that health_test.yaml expects, by the names of the recorded objects.
func healthsForArgoCD(t *testing.T, kind string) map[string]string {
	t.Helper()
	tests := struct {
		Tests []struct {
			HealthStatus struct {
				Status string `json:"status"`
			} `json:"healthStatus"`
			InputPath string `json:"inputPath"`
		} `json:"tests"`
	}{}
	if err := yaml.Unmarshal(read(t, filepath.Join(kinds, kind, "health_test.yaml")), &tests); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, c := range tests.Tests {
		out[strings.TrimSuffix(filepath.Base(c.InputPath), ".yaml")] = c.HealthStatus.Status
	}
	if got, want := slices.Sorted(maps.Values(out)), slices.Sorted(maps.Keys(byExpressions)); !slices.Equal(slices.Compact(got), want) {
		t.Fatalf("%s is tested in the states %v, want %v", kind, slices.Compact(got), want)
	}
	return out
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// decode reads an object in its own type. Fields that the type does not have are an error.
func decode(t *testing.T, path string, object any) {
	t.Helper()
	if err := yaml.UnmarshalStrict(read(t, path), object); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
