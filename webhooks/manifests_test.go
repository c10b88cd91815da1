package webhooks

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/yaml"
)

// TestEveryWebhookIsPatched wants the generated webhooks to be pointed at the operator's Service, each of them: the patches
// count them.
func TestEveryWebhookIsPatched(t *testing.T) {
	read := func(name string) []byte {
		t.Helper()
		content, err := os.ReadFile(filepath.Join("..", "config", "webhook", name))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	type operation struct {
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	patches := map[string]string{"ValidatingWebhookConfiguration": "configuration_patch.yaml", "MutatingWebhookConfiguration": "mutating_patch.yaml"}
	seen := 0
	for _, document := range strings.Split(string(read("manifests.yaml")), "\n---\n") {
		// Both kinds have these fields.
		generated, patch := &admissionregistrationv1.ValidatingWebhookConfiguration{}, []operation{}
		if err := yaml.Unmarshal([]byte(document), generated); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(read(patches[generated.Kind]), &patch); err != nil {
			t.Fatal(err)
		}
		has := func(want operation) bool {
			return slices.ContainsFunc(patch, func(o operation) bool { return reflect.DeepEqual(o, want) })
		}
		for i, w := range generated.Webhooks {
			seen++
			for key, value := range map[string]string{"name": "meshfleet-webhook", "namespace": "meshfleet-system"} {
				want := operation{Path: fmt.Sprintf("/webhooks/%d/clientConfig/service/%s", i, key), Value: value}
				if !has(want) {
					t.Errorf("%s: the patch has no %+v", w.Name, want)
				}
			}
			// An operator that is down must not keep anybody from taking a finalizer off.
			blocksUpdates := *w.FailurePolicy == admissionregistrationv1.Fail && slices.ContainsFunc(w.Rules, func(r admissionregistrationv1.RuleWithOperations) bool {
				return slices.Contains(r.Operations, admissionregistrationv1.Update)
			})
			condition := operation{Path: fmt.Sprintf("/webhooks/%d/matchConditions", i), Value: []any{map[string]any{
				"name": "not-being-deleted", "expression": "!has(object.metadata.deletionTimestamp)",
			}}}
			if has(condition) != blocksUpdates {
				t.Errorf("%s: lets objects pass that are being deleted: %v, want %v", w.Name, has(condition), blocksUpdates)
			}
		}
	}
	if seen != 5 {
		t.Errorf("%d webhooks, want 5", seen)
	}
}
