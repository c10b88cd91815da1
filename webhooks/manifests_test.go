package webhooks

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
			path := fmt.Sprintf("/webhooks/%d/matchConditions", i)
			at := slices.IndexFunc(patch, func(o operation) bool { return o.Path == path })
			conditions := passable[w.Name]
			if isStrict(&w) != (len(conditions) > 0) {
				t.Errorf("%s: is refused without an answer of the operator: %v, match conditions %v", w.Name, isStrict(&w), conditions)
			}
			var got []any
			if at >= 0 {
				got, _ = patch[at].Value.([]any)
			}
			if diff := cmp.Diff(conditions, got); diff != "" {
				t.Errorf("%s: match conditions (-want +got):\n%s", w.Name, diff)
			}
		}
	}
	if seen != 6 {
		t.Errorf("%d webhooks, want 6", seen)
	}
}

// passable are the match conditions of each webhook. While the operator is down, three things must stay possible: to remove a finalizer,
// to permit the deletion of a mesh, and to make a deletion that is permitted.
var passable = map[string][]any{
	"mmeshapproval.meshfleet.io": {condition("not-being-deleted", "!has(object.metadata.deletionTimestamp)")},
	"vmeshapproval.meshfleet.io": {condition("not-being-deleted", "!has(object.metadata.deletionTimestamp)")},
	"vmeshinstallation.meshfleet.io": {
		condition("not-being-deleted", "!has(object.metadata.deletionTimestamp)"),
		condition("changes-spec", "request.operation == 'CREATE' || "+
			"object.spec.exists(k, k != 'deletionProtection' && (!(k in oldObject.spec) || object.spec[k] != oldObject.spec[k])) || "+
			"oldObject.spec.exists(k, k != 'deletionProtection' && !(k in object.spec))"),
	},
	"vmeshinstallation-deletion.meshfleet.io": {
		condition("not-being-deleted", "!has(oldObject.metadata.deletionTimestamp)"),
		condition("protected", "!has(oldObject.spec.deletionProtection) || oldObject.spec.deletionProtection != 'Disabled'"),
	},
}

func condition(name, expression string) map[string]any {
	return map[string]any{"name": name, "expression": expression}
}

// isStrict says whether changes or deletions of objects that exist are refused while the operator does not answer.
func isStrict(w *admissionregistrationv1.ValidatingWebhook) bool {
	return *w.FailurePolicy == admissionregistrationv1.Fail && slices.ContainsFunc(w.Rules, func(r admissionregistrationv1.RuleWithOperations) bool {
		return slices.Contains(r.Operations, admissionregistrationv1.Update) || slices.Contains(r.Operations, admissionregistrationv1.Delete)
	})
}
