package crd

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	apivalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apimachinery/pkg/runtime"
)

// ruleCases are the cases of the rules that have one message. Every document is a merge patch over the kind's base.
type ruleCases struct {
	message string
	accepts []string
	rejects []string
	updates []update
}

// update is a change of an object; wantOK says whether the rule lets it pass.
type update struct {
	from, to string
	wantOK   bool
}

func TestRules(t *testing.T) {
	for _, k := range []struct {
		*kind
		base  string
		cases []ruleCases
	}{
		{installations, installationBase, slices.Concat(installationCases, chartsCases, gateCases(`spec: {upgrade: {gates: [%s]}}`))},
		{members, memberBase, slices.Concat(memberCases, gateCases(orderedGates))},
		{approvals, approvalBase, approvalCases},
	} {
		t.Run(k.name, func(t *testing.T) {
			base := parse(t, k.base)
			if errs := k.validate(runtime.DeepCopyJSON(base), nil); len(errs) > 0 {
				t.Fatalf("the base is invalid: %v", errs)
			}
			for _, c := range k.cases {
				t.Run(c.message, func(t *testing.T) { c.run(t, k.kind, base) })
			}
		})
	}
}

func (c ruleCases) run(t *testing.T, k *kind, base map[string]any) {
	object := func(patch string) map[string]any { return merge(base, parse(t, patch)) }
	for _, doc := range c.accepts {
		if errs := k.validate(object(doc), nil); len(errs) > 0 {
			t.Errorf("rejected: %s\n%v", doc, errs)
		}
	}
	for _, doc := range c.rejects {
		c.wantRejected(t, doc, k, object(doc), nil)
	}
	for _, u := range c.updates {
		change := fmt.Sprintf("change of\n%s\nto\n%s", u.from, u.to)
		if u.wantOK {
			if errs := k.validate(object(u.to), object(u.from)); len(errs) > 0 {
				t.Errorf("rejected: %s\n%v", change, errs)
			}
			continue
		}
		if errs := k.validate(object(u.to), nil); len(errs) > 0 {
			t.Errorf("%s: the new object is invalid by itself, so this shows nothing of the transition: %v", change, errs)
		}
		c.wantRejected(t, change, k, object(u.to), object(u.from))
	}
}

// wantRejected wants exactly one error, the rule's: otherwise the case would pass without the rule.
func (c ruleCases) wantRejected(t *testing.T, what string, k *kind, obj, old map[string]any) {
	t.Helper()
	errs := k.validate(obj, old)
	if len(errs) != 1 || errs[0].Detail != c.message {
		t.Errorf("want exactly the error %q of\n%s\ngot %v", c.message, what, errs)
	}
}

// TestEveryRuleHasCases fails when a rule is added to a type without cases here, or a message changes.
func TestEveryRuleHasCases(t *testing.T) {
	for _, k := range []struct {
		*kind
		cases []ruleCases
	}{
		{installations, slices.Concat(installationCases, chartsCases, gateCases(`spec: {upgrade: {gates: [%s]}}`))},
		{members, slices.Concat(memberCases, gateCases(orderedGates))},
		{approvals, approvalCases},
	} {
		tested := map[string]ruleCases{}
		for _, c := range k.cases {
			if _, twice := tested[c.message]; twice {
				t.Errorf("%s: two sets of cases for %q", k.name, c.message)
			}
			tested[c.message] = c
		}
		rules := map[string]bool{}
		eachRule(k.structural, "", func(path, rule, message string) {
			rules[message] = true
			c, ok := tested[message]
			transition := strings.Contains(rule, "oldSelf")
			switch {
			case message == "":
				t.Errorf("%s%s: the rule %s has no message", k.name, path, rule)
			case !ok:
				t.Errorf("%s%s: no cases for the rule %q", k.name, path, message)
			case transition && !c.hasUpdates():
				t.Errorf("%s%s: %q needs an update that passes and one that does not", k.name, path, message)
			case !transition && (len(c.accepts) == 0 || len(c.rejects) == 0):
				t.Errorf("%s%s: %q needs a case that it accepts and one that it rejects", k.name, path, message)
			}
		})
		for _, message := range slices.Sorted(maps.Keys(tested)) {
			if !rules[message] {
				t.Errorf("%s: cases for %q, which no rule says", k.name, message)
			}
		}
	}
}

func (c ruleCases) hasUpdates() bool {
	passes := func(u update) bool { return u.wantOK }
	fails := func(u update) bool { return !u.wantOK }
	return slices.ContainsFunc(c.updates, passes) && slices.ContainsFunc(c.updates, fails)
}

func eachRule(s *schema.Structural, path string, visit func(path, rule, message string)) {
	for _, r := range s.XValidations {
		visit(path, r.Rule, r.Message)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		property := s.Properties[name]
		eachRule(&property, path+"."+name, visit)
	}
	if s.Items != nil {
		eachRule(s.Items, path+"[]", visit)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Structural != nil {
		eachRule(s.AdditionalProperties.Structural, path+"{}", visit)
	}
}

// TestAPIServerAcceptsTheDefinitions runs the API server's validation of CRDs, which also estimates what each rule
// costs and refuses those that could cost too much.
func TestAPIServerAcceptsTheDefinitions(t *testing.T) {
	for _, k := range []*kind{installations, members, upgrades, approvals} {
		if errs := apivalidation.ValidateCustomResourceDefinition(context.Background(), k.crd); len(errs) > 0 {
			t.Errorf("%s: %v", k.name, errs)
		}
	}
}

// TestAThousandMembersAreAffordable guards the budget of CEL rules at run time.
func TestAThousandMembersAreAffordable(t *testing.T) {
	var list []any
	for i := range 1000 {
		list = append(list, map[string]any{
			"name":        fmt.Sprintf("member-%04d", i),
			"network":     fmt.Sprintf("network-%04d", i),
			"labels":      map[string]any{"tier": "canary", "region": "eu"},
			"apiServer":   fmt.Sprintf("https://member-%04d.example.com:6443", i),
			"apiServerCA": "PEM",
			"hold":        map[string]any{"reason": strings.Repeat("a reason ", 28) + "ends", "until": "2026-06-01T00:00:00Z"},
			"clusterRef":  map[string]any{"kubeconfigSecret": map[string]any{"name": fmt.Sprintf("member-%04d-kubeconfig", i)}},
		})
	}
	object := merge(parse(t, installationBase), map[string]any{"spec": map[string]any{"members": list}})
	if errs := installations.validate(runtime.DeepCopyJSON(object), nil); len(errs) > 0 {
		t.Errorf("creation: %v", errs)
	}
	if errs := installations.validate(runtime.DeepCopyJSON(object), runtime.DeepCopyJSON(object)); len(errs) > 0 {
		t.Errorf("update: %v", errs)
	}
}

// TestSamples validates config/samples, unknown fields included.
func TestSamples(t *testing.T) {
	entries, err := os.ReadDir(repository("config", "samples"))
	if err != nil {
		t.Fatal(err)
	}
	samples := 0
	for _, entry := range entries {
		if entry.IsDir() || entry.Name() == "kustomization.yaml" {
			continue
		}
		samples++
		t.Run(entry.Name(), func(t *testing.T) {
			content, err := os.ReadFile(repository("config", "samples", entry.Name()))
			if err != nil {
				t.Fatal(err)
			}
			object := parse(t, string(content))
			if object["kind"] != installations.name {
				t.Fatalf("kind is %v", object["kind"])
			}
			if unknown := installations.unknownFields(object); len(unknown) > 0 {
				t.Errorf("unknown fields: %v", unknown)
			}
			if errs := installations.validate(object, nil); len(errs) > 0 {
				t.Error(errs)
			}
		})
	}
	if samples == 0 {
		t.Error("no samples")
	}
}
