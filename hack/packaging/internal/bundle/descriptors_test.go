package bundle

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	operatorsv1alpha1 "github.com/operator-framework/api/pkg/operators/v1alpha1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/manifests"
)

const testSchema = `
type: object
required: [name]
properties:
  name: {type: string, description: "name is the name. It is long."}
  size: {type: integer}
  dryRun: {type: boolean}
  mode: {type: string, enum: [Run, Plan]}
  limit: {x-kubernetes-int-or-string: true}
  list:
    type: array
    items:
      type: object
      properties:
        credentials:
          type: object
          properties:
            secretRef: {type: object, properties: {name: {type: string}}}
            configMapRef: {type: object, properties: {name: {type: string}, other: {type: string}}}
        caSecret: {type: string}
  conditions:
    type: array
    items: {type: object, properties: {type: {type: string}}}
  phase: {type: string}
`

func schemaOf(t *testing.T, text string) apiextensionsv1.JSONSchemaProps {
	t.Helper()
	objects, err := manifests.Parse([]byte("apiVersion: v1\nkind: Schema\nschema:\n  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")))
	must(t, err)
	content, err := json.Marshal(objects[0].Object["schema"])
	must(t, err)
	schema := apiextensionsv1.JSONSchemaProps{}
	must(t, json.Unmarshal(content, &schema))
	return schema
}

func capabilities(all []descriptor) map[string]string {
	got := map[string]string{}
	for _, d := range all {
		got[d.path] = strings.Join(d.capabilities, " ")
	}
	return got
}

func TestSpecDescriptors(t *testing.T) {
	all := describe(schemaOf(t, testSchema), specCapabilities)
	want := map[string]string{
		"name":             urnUI + "text",
		"size":             urnUI + "number " + urnUI + "advanced",
		"dryRun":           urnUI + "booleanSwitch " + urnUI + "advanced",
		"mode":             urnUI + "select:Run " + urnUI + "select:Plan " + urnUI + "advanced",
		"limit":            urnUI + "text " + urnUI + "advanced",
		"phase":            urnUI + "text " + urnUI + "advanced",
		"conditions":       urnUI + "advanced",
		"list":             urnUI + "advanced",
		"list[0].caSecret": urnResource + "Secret",
		// Deeper fields only if they name a Secret or a ConfigMap.
		"list[0].credentials":                   "",
		"list[0].credentials.secretRef.name":    urnResource + "Secret",
		"list[0].credentials.configMapRef.name": urnResource + "ConfigMap",
	}
	if diff := cmp.Diff(want, capabilities(all)); diff != "" {
		t.Errorf("descriptors (-want +got):\n%s", diff)
	}
	for _, d := range all {
		if d.path == "name" && (d.description != "name is the name." || d.displayName != "Name") {
			t.Errorf("name is %+v", d)
		}
	}
}

func TestStatusDescriptors(t *testing.T) {
	got := capabilities(describe(schemaOf(t, testSchema), statusCapabilities))
	for path, want := range map[string]string{
		"conditions": urnConditions, "phase": urnPhase, "name": urnText, "size": "", "list[0].caSecret": urnResource + "Secret",
	} {
		if got[path] != want {
			t.Errorf("%s has %q, want %q", path, got[path], want)
		}
	}
}

func TestHandWrittenDescriptors(t *testing.T) {
	entry := &operatorsv1alpha1.CRDDescription{Kind: "Thing", SpecDescriptors: []operatorsv1alpha1.SpecDescriptor{
		{Path: "mode", DisplayName: "Mode", Description: "generated", XDescriptors: []string{"a"}},
	}}
	must(t, override(entry, []operatorsv1alpha1.SpecDescriptor{{Path: "mode", DisplayName: "When", XDescriptors: []string{"b"}}}))
	want := []operatorsv1alpha1.SpecDescriptor{{Path: "mode", DisplayName: "When", Description: "generated", XDescriptors: []string{"b"}}}
	if diff := cmp.Diff(want, entry.SpecDescriptors); diff != "" {
		t.Errorf("descriptors (-want +got):\n%s", diff)
	}
	err := override(entry, []operatorsv1alpha1.SpecDescriptor{{Path: "modus"}})
	if err == nil || !strings.Contains(err.Error(), "modus") {
		t.Errorf("error is %v, want the path in it", err)
	}
}
