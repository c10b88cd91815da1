package crd

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
)

// TestShapes holds what an operator needs of the definitions to work beside definitions of another release, and what clients expect.
func TestShapes(t *testing.T) {
	for _, k := range []*kind{installations, members, upgrades, approvals} {
		props, err := apiextensions.GetSchemaForVersion(k.crd, k.crd.Spec.Versions[0].Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range problemsOf(k.name, props.OpenAPIV3Schema) {
			t.Errorf("%s%s", k.name, problem)
		}
		for _, field := range []string{"conditions", "observedGeneration"} {
			if _, ok := props.OpenAPIV3Schema.Properties["status"].Properties[field]; !ok {
				t.Errorf("%s: the status has no %s: kubectl wait, kstatus and GitOps tools cannot tell its health", k.name, field)
			}
		}
		stored := 0
		for _, v := range k.crd.Spec.Versions {
			if v.Storage {
				stored++
			}
		}
		if stored != 1 {
			t.Errorf("%s: %d versions are stored, want one", k.name, stored)
		}
	}
}

// TestShapesAreChecked wants the rules of TestShapes to find what they forbid.
func TestShapesAreChecked(t *testing.T) {
	text := apiextensions.JSONSchemaProps{Type: "string"}
	word := apiextensions.JSONSchemaProps{Type: "string", Enum: []apiextensions.JSON{"A"}}
	list := func(of apiextensions.JSONSchemaProps, bound int64) apiextensions.JSONSchemaProps {
		l := apiextensions.JSONSchemaProps{Type: "array", Items: &apiextensions.JSONSchemaPropsOrArray{Schema: &of}}
		if bound > 0 {
			l.MaxItems = &bound
		}
		return l
	}
	object := func(name string, of apiextensions.JSONSchemaProps) apiextensions.JSONSchemaProps {
		return apiextensions.JSONSchemaProps{Type: "object", Properties: map[string]apiextensions.JSONSchemaProps{name: of}}
	}
	cases := map[string]struct {
		kind   string
		schema apiextensions.JSONSchemaProps
		want   string
	}{
		"a text":                               {"MeshUpgrade", object("status", object("phase", text)), ""},
		"a word in the status":                 {"MeshInstallation", object("status", object("phase", word)), ".status.phase"},
		"a word in a list of the status":       {"MeshInstallation", object("status", list(word, 3)), ".status[]"},
		"a word that a user writes":            {"MeshInstallation", object("spec", object("mode", word)), ""},
		"a word in a work order":               {"MeshMember", object("spec", object("mode", word)), ".spec.mode"},
		"a word in a record":                   {"MeshUpgrade", object("spec", list(object("approval", word), 3)), ".spec[].approval"},
		"the status of a condition":            {"MeshUpgrade", object("status", object("conditions", list(object("status", word), 3))), ""},
		"a number of any size":                 {"MeshInstallation", object("spec", apiextensions.JSONSchemaProps{Type: "integer"}), ".spec"},
		"a number of 32 bits":                  {"MeshInstallation", object("spec", apiextensions.JSONSchemaProps{Type: "integer", Format: "int32"}), ""},
		"a list without bounds":                {"MeshInstallation", object("spec", list(text, 0)), ".spec"},
		"a list without bounds in one":         {"MeshInstallation", object("spec", list(list(text, 0), 2)), ".spec[]"},
		"a selector, which is Kubernetes' own": {"MeshInstallation", object("memberSelector", object("matchExpressions", list(object("values", list(text, 0)), 0))), ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			problems := problemsOf(c.kind, &c.schema)
			if c.want == "" && len(problems) > 0 || c.want != "" && (len(problems) != 1 || !strings.HasPrefix(problems[0], c.want+": ")) {
				t.Errorf("problems are %q, want one of %q", problems, c.want)
			}
		})
	}
}

// problemsOf are the fields of a kind that break a rule, each with the rule.
func problemsOf(kind string, schema *apiextensions.JSONSchemaProps) (problems []string) {
	eachField(schema, "", func(path string, s *apiextensions.JSONSchemaProps) {
		isWritten := strings.HasPrefix(path, ".status") || (kind == "MeshMember" || kind == "MeshUpgrade") && strings.HasPrefix(path, ".spec")
		switch {
		case len(s.Enum) > 0 && isWritten && !isException(path):
			problems = append(problems, path+": the operator writes it, so that it must be an open string: a newer operator could not write a new word")
		case s.Type == "integer" && s.Format == "":
			problems = append(problems, path+": an integer needs a format, int32 or int64")
		case s.Type == "array" && s.MaxItems == nil && !strings.Contains(path, "matchExpressions"):
			problems = append(problems, path+": a list needs maxItems")
		}
	})
	return problems
}

// isException is true for words that Kubernetes defines.
func isException(path string) bool {
	return strings.HasSuffix(path, ".conditions[].status")
}

func eachField(s *apiextensions.JSONSchemaProps, path string, visit func(path string, s *apiextensions.JSONSchemaProps)) {
	visit(path, s)
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		property := s.Properties[name]
		eachField(&property, path+"."+name, visit)
	}
	if s.Items != nil && s.Items.Schema != nil {
		eachField(s.Items.Schema, path+"[]", visit)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		eachField(s.AdditionalProperties.Schema, path+"{}", visit)
	}
}
