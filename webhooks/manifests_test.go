package webhooks

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/yaml"
)

// TestEveryWebhookIsPatched wants the generated webhooks to be pointed at the operator's Service, each of them: the patch
// counts them.
func TestEveryWebhookIsPatched(t *testing.T) {
	read := func(name string, into any) {
		t.Helper()
		content, err := os.ReadFile(filepath.Join("..", "config", "webhook", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(content, into); err != nil {
			t.Fatal(err)
		}
	}
	type operation struct {
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	generated, patch := &admissionregistrationv1.ValidatingWebhookConfiguration{}, []operation{}
	read("manifests.yaml", generated)
	read("configuration_patch.yaml", &patch)
	if len(generated.Webhooks) == 0 {
		t.Fatal("no webhooks")
	}
	for i, w := range generated.Webhooks {
		for key, value := range map[string]string{"name": "meshfleet-webhook", "namespace": "meshfleet-system"} {
			want := operation{Path: fmt.Sprintf("/webhooks/%d/clientConfig/service/%s", i, key), Value: value}
			if !slices.ContainsFunc(patch, func(o operation) bool { return reflect.DeepEqual(o, want) }) {
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
		if hasCondition := slices.ContainsFunc(patch, func(o operation) bool { return reflect.DeepEqual(o, condition) }); hasCondition != blocksUpdates {
			t.Errorf("%s: lets objects pass that are being deleted: %v, want %v", w.Name, hasCondition, blocksUpdates)
		}
	}
}
