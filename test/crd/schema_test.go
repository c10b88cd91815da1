package crd

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

var (
	installations = load("mesh.meshfleet.io_meshinstallations.yaml")
	members       = load("mesh.meshfleet.io_meshmembers.yaml")
	upgrades      = load("mesh.meshfleet.io_meshupgrades.yaml")
)

// kind is one CRD, ready to validate objects the way the API server does.
type kind struct {
	name       string
	crd        *apiextensions.CustomResourceDefinition
	structural *schema.Structural
	schema     validation.SchemaValidator
	rules      *cel.Validator
}

func repository(parts ...string) string {
	return filepath.Join(append([]string{"..", ".."}, parts...)...)
}

// load reads a CRD. It panics because it runs before any test; the message names the file.
func load(file string) *kind {
	content, err := os.ReadFile(repository("config", "crd", "bases", file))
	must(err)
	v1 := &apiextensionsv1.CustomResourceDefinition{}
	must(yaml.UnmarshalStrict(content, v1))
	// What the API server fills in before it validates.
	apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&v1.Spec)
	v1.Status.StoredVersions = []string{v1.Spec.Versions[0].Name}
	crd := &apiextensions.CustomResourceDefinition{}
	must(apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(v1, crd, nil))
	props, err := apiextensions.GetSchemaForVersion(crd, crd.Spec.Versions[0].Name)
	must(err)
	structural, err := schema.NewStructural(props.OpenAPIV3Schema)
	must(err)
	validator, _, err := validation.NewSchemaValidator(props.OpenAPIV3Schema)
	must(err)
	return &kind{
		name: crd.Spec.Names.Kind, crd: crd, structural: structural, schema: validator,
		rules: cel.NewValidator(structural, true, celconfig.PerCallLimit),
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// validate defaults obj in place and validates it; old is nil for a creation.
func (k *kind) validate(obj, old map[string]any) field.ErrorList {
	defaulting.Default(obj, k.structural)
	var errs field.ErrorList
	var before any
	if old == nil {
		errs = validation.ValidateCustomResource(nil, obj, k.schema)
	} else {
		defaulting.Default(old, k.structural)
		before = old
		errs = validation.ValidateCustomResourceUpdate(nil, obj, old, k.schema)
	}
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, k.structural, obj)...)
	if len(errs) > 0 {
		// The API server does not run rules on objects that do not fit the schema.
		return errs
	}
	errs, _ = k.rules.Validate(context.Background(), nil, k.structural, obj, before, celconfig.RuntimeCELCostBudget)
	return errs
}

// unknownFields lists the fields of obj that the API server would drop.
func (k *kind) unknownFields(obj map[string]any) []string {
	return pruning.PruneWithOptions(runtime.DeepCopyJSON(obj), k.structural, true,
		schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
}

func parse(t *testing.T, doc string) map[string]any {
	t.Helper()
	out := map[string]any{}
	if err := yaml.Unmarshal([]byte(doc), &out); err != nil {
		t.Fatalf("%v in\n%s", err, doc)
	}
	return normalize(out).(map[string]any)
}

// merge lays patch over base as a JSON merge patch does: maps are merged, null deletes, everything else replaces.
func merge(base, patch map[string]any) map[string]any {
	out := runtime.DeepCopyJSON(base)
	for key, value := range patch {
		switch v := value.(type) {
		case nil:
			delete(out, key)
		case map[string]any:
			below, _ := out[key].(map[string]any)
			if below == nil {
				below = map[string]any{}
			}
			out[key] = merge(below, v)
		default:
			out[key] = value
		}
	}
	return out
}

// normalize turns YAML's numbers into those that the API server's decoder makes.
func normalize(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = normalize(v[key])
		}
	case []any:
		for i := range v {
			v[i] = normalize(v[i])
		}
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	}
	return value
}
