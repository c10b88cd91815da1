package envtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	sigsyaml "sigs.k8s.io/yaml"
)

// conditionsSuffix ends the paths of match conditions in the patches of config/webhook.
const conditionsSuffix = "/matchConditions"

// webhookOptions are the operator's webhooks with the match conditions that its manifests add.
func webhookOptions() (envtest.WebhookInstallOptions, error) {
	var options envtest.WebhookInstallOptions
	file, err := os.Open(filepath.Join(configDir, "webhook", "manifests.yaml"))
	if err != nil {
		return options, err
	}
	defer func() { _ = file.Close() }() // it is only read
	decoder := yaml.NewYAMLToJSONDecoder(file)
	for {
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			if errors.Is(err, io.EOF) {
				return options, nil
			}
			return options, err
		}
		var kind struct{ Kind string }
		if err := json.Unmarshal(raw, &kind); err != nil {
			return options, err
		}
		switch kind.Kind {
		case "ValidatingWebhookConfiguration":
			c := &admissionregistrationv1.ValidatingWebhookConfiguration{}
			options.ValidatingWebhooks = append(options.ValidatingWebhooks, c)
			err = withConditions(raw, "configuration_patch.yaml", c)
		case "MutatingWebhookConfiguration":
			c := &admissionregistrationv1.MutatingWebhookConfiguration{}
			options.MutatingWebhooks = append(options.MutatingWebhooks, c)
			err = withConditions(raw, "mutating_patch.yaml", c)
		}
		if err != nil {
			return options, fmt.Errorf("%s: %w", kind.Kind, err)
		}
	}
}

// withConditions reads a configuration with the match conditions of a patch.
func withConditions(raw []byte, file string, into any) error {
	text, err := os.ReadFile(filepath.Join(configDir, "webhook", file)) //nolint:gosec // a file of the repository
	if err != nil {
		return err
	}
	var all, conditions []map[string]any
	if err := sigsyaml.Unmarshal(text, &all); err != nil {
		return err
	}
	for _, op := range all {
		if path, _ := op["path"].(string); strings.HasSuffix(path, conditionsSuffix) {
			conditions = append(conditions, op)
		}
	}
	if len(conditions) == 0 {
		return fmt.Errorf("%s has no match conditions", file)
	}
	ops, err := json.Marshal(conditions)
	if err != nil {
		return err
	}
	patch, err := jsonpatch.DecodePatch(ops)
	if err != nil {
		return err
	}
	patched, err := patch.Apply(raw)
	if err != nil {
		return err
	}
	return json.Unmarshal(patched, into)
}
