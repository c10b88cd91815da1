package bundle

import (
	"context"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/manifests"
)

// TestExamplesFitTheirDefinitions validates the examples as the API server does: schema, CEL rules, and no unknown fields.
func TestExamplesFitTheirDefinitions(t *testing.T) {
	definitions, err := manifests.Render(repository + "/config/crd")
	if err != nil {
		t.Fatal(err)
	}
	checks := map[string]func(map[string]any) (field.ErrorList, []string){}
	for _, u := range definitions {
		definition, err := manifests.Decode[apiextensionsv1.CustomResourceDefinition](u)
		if err != nil {
			t.Fatal(err)
		}
		checks[definition.Spec.Names.Kind] = checkOf(t, definition)
	}
	all, err := examples(repository)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, u := range all {
		check := checks[u.GetKind()]
		if check == nil {
			t.Errorf("%s %s: there is no definition of the kind", u.GetKind(), u.GetName())
			continue
		}
		seen[u.GetKind()] = true
		errs, unknown := check(u.Object)
		if len(errs) > 0 || len(unknown) > 0 {
			t.Errorf("%s %s: errors %v, unknown fields %v", u.GetKind(), u.GetName(), errs, unknown)
		}
		if u.GetNamespace() != "" {
			t.Errorf("%s %s has the namespace %s", u.GetKind(), u.GetName(), u.GetNamespace())
		}
	}
	if len(seen) != len(checks) {
		t.Errorf("%d kinds have examples, want %d", len(seen), len(checks))
	}
}

// checkOf returns a function that finds what an API server would reject or drop.
func checkOf(t *testing.T, definition *apiextensionsv1.CustomResourceDefinition) func(map[string]any) (field.ErrorList, []string) {
	t.Helper()
	internal := &apiextensions.CustomResourceDefinition{}
	must(t, apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(definition, internal, nil))
	properties, err := apiextensions.GetSchemaForVersion(internal, definition.Spec.Versions[0].Name)
	must(t, err)
	structural, err := schema.NewStructural(properties.OpenAPIV3Schema)
	must(t, err)
	validator, _, err := validation.NewSchemaValidator(properties.OpenAPIV3Schema)
	must(t, err)
	rules := cel.NewValidator(structural, true, celconfig.PerCallLimit)
	return func(object map[string]any) (field.ErrorList, []string) {
		unknown := pruning.PruneWithOptions(runtime.DeepCopyJSON(object), structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
		object = runtime.DeepCopyJSON(object)
		defaulting.Default(object, structural)
		if errs := validation.ValidateCustomResource(nil, object, validator); len(errs) > 0 {
			return errs, unknown
		}
		errs, _ := rules.Validate(context.Background(), nil, structural, object, nil, celconfig.RuntimeCELCostBudget)
		return errs, unknown
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
