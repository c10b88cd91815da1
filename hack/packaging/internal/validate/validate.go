// Package validate runs the validators of operator-framework over a bundle, and explains the warnings that stay.
package validate

import (
	goerrors "errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/operator-framework/api/pkg/manifests"
	"github.com/operator-framework/api/pkg/validation"
	"github.com/operator-framework/api/pkg/validation/errors"
	interfaces "github.com/operator-framework/api/pkg/validation/interfaces"
	"sigs.k8s.io/yaml"
)

// multiarch is the validator that starts docker to pull images.
const multiarch = "multiarch"

// validators are those that OperatorHub runs on a submission, by the names that operator-sdk gives them.
var validators = []struct {
	name      string
	validator interfaces.Validator
}{
	{"bundle", validation.BundleValidator},
	{"csv", validation.ClusterServiceVersionValidator},
	{"crd", validation.CustomResourceDefinitionValidator},
	{"object", validation.ObjectValidator},
	{"operatorhub/v2", validation.OperatorHubV2Validator},
	{"standardcapabilities", validation.StandardCapabilitiesValidator},
	{"standardcategories", validation.StandardCategoriesValidator},
	{"community", validation.CommunityOperatorValidator},
	{"good-practices", validation.GoodPracticesValidator},
	{"alpha-deprecated-apis", validation.AlphaDeprecatedAPIsValidator},
	{multiarch, validation.MultipleArchitecturesValidator},
}

// Finding is an error or a warning of a validator.
type Finding struct {
	Validator, Message string
}

// String returns the finding with its validator.
func (f Finding) String() string {
	return f.Validator + ": " + f.Message
}

// Reason explains warnings.
type Reason struct {
	// Validator is the name of the validator.
	Validator string `json:"validator"`
	// Warning is a part of the messages that are explained.
	Warning string `json:"warning"`
	// Reason is why the warning stays.
	Reason string `json:"reason"`
}

// Bundle runs all validators over a bundle directory. The lists are sorted. No program is started and no registry is asked.
func Bundle(dir string) (problems, warnings []Finding, err error) {
	bundle, err := manifests.GetBundleFromDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("read the bundle %s: %w", dir, err)
	}
	objects := bundle.ObjectsToValidate()
	for _, v := range validators {
		results, err := run(v.validator, v.name == multiarch, objects)
		if err != nil {
			return nil, nil, fmt.Errorf("validator %s: %w", v.name, err)
		}
		for _, result := range results {
			for _, e := range result.Errors {
				problems = append(problems, Finding{v.name, e.Error()})
			}
			for _, w := range result.Warnings {
				warnings = append(warnings, Finding{v.name, w.Error()})
			}
		}
	}
	sort(problems)
	sort(warnings)
	return problems, warnings, nil
}

// run runs a validator. One that starts programs finds none: what docker would pull is not published yet, and the result must not depend on the
// machine.
func run(validator interfaces.Validator, startsPrograms bool, objects []any) (results []errors.ManifestResult, err error) {
	if !startsPrograms {
		return validator.Validate(objects...), nil
	}
	path := os.Getenv("PATH")
	if err := os.Setenv("PATH", ""); err != nil {
		return nil, err
	}
	defer func() { err = goerrors.Join(err, os.Setenv("PATH", path)) }()
	return validator.Validate(objects...), nil
}

func sort(findings []Finding) {
	slices.SortFunc(findings, func(a, b Finding) int { return strings.Compare(a.String(), b.String()) })
}

// LoadReasons reads a list of reasons from a file.
func LoadReasons(path string) ([]Reason, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		Warnings []Reason `json:"warnings"`
	}
	if err := yaml.UnmarshalStrict(content, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for i, r := range file.Warnings {
		if r.Validator == "" || r.Warning == "" || r.Reason == "" {
			return nil, fmt.Errorf("%s: warnings[%d] has no validator, no warning or no reason", path, i)
		}
	}
	return file.Warnings, nil
}

// Explain returns the warnings that no reason explains, and the reasons that explain no warning.
func Explain(warnings []Finding, reasons []Reason) (unexplained []Finding, unused []Reason) {
	used := make([]bool, len(reasons))
	for _, w := range warnings {
		isExplained := false
		for i, r := range reasons {
			if r.Validator == w.Validator && strings.Contains(w.Message, r.Warning) {
				used[i], isExplained = true, true
			}
		}
		if !isExplained {
			unexplained = append(unexplained, w)
		}
	}
	for i, r := range reasons {
		if !used[i] {
			unused = append(unused, r)
		}
	}
	return unexplained, unused
}
