package docs

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pagesOfValues are the pages that explain every value of a type of the API.
var pagesOfValues = map[string][]string{
	"UpgradeMode":        {"docs/upgrades.md"},
	"FailureAction":      {"docs/upgrades.md"},
	"RollbackScope":      {"docs/upgrades.md"},
	"UpgradeCause":       {"docs/upgrades.md"},
	"Stage":              {"docs/upgrades.md", "docs/upgrade-operations.md"},
	"StageState":         {"docs/upgrade-operations.md"},
	"UpgradePhase":       {"docs/upgrade-operations.md"},
	"PreflightCheck":     {"docs/upgrade-operations.md"},
	"UnreachablePeers":   {"docs/upgrade-operations.md"},
	"InterventionAction": {"docs/upgrade-operations.md"},
	"Verdict":            {"docs/gates.md"},
	"Comparison":         {"docs/gates.md"},
}

// TestValuesAreDocumented wants every value that a field of an upgrade or a gate may have in the page that explains it.
func TestValuesAreDocumented(t *testing.T) {
	all := values(t)
	for name, where := range pagesOfValues {
		if len(all[name]) == 0 {
			t.Errorf("the API has no type %s with values", name)
		}
		for _, value := range all[name] {
			wantMentioned(t, where, value)
		}
	}
}

// TestNamesInRulesAreDocumented wants every name that the rules of gates allow in docs/gates.md: of built-in gates, and of classes of
// differences.
func TestNamesInRulesAreDocumented(t *testing.T) {
	for _, where := range []string{`g\.name in \[([^\]]*)\]`, `failOn\.all\(c, c in \[([^\]]*)\]`} {
		rule := regexp.MustCompile(where).FindStringSubmatch(read(t, "api/v1alpha1/upgrade_types.go"))
		if rule == nil {
			t.Fatalf("no rule with %s found", where)
		}
		for _, name := range strings.Split(rule[1], ", ") {
			wantMentioned(t, []string{"docs/gates.md"}, strings.Trim(name, "'"))
		}
	}
}

// TestWaveFieldsAreDocumented wants every field of a wave in docs/upgrades.md.
func TestWaveFieldsAreDocumented(t *testing.T) {
	_, wave, found := strings.Cut(read(t, "api/v1alpha1/upgrade_types.go"), "\ntype Wave struct {")
	wave, _, closed := strings.Cut(wave, "\n}")
	fields := regexp.MustCompile("json:\"([a-zA-Z]+)").FindAllStringSubmatch(wave, -1)
	if !found || !closed || len(fields) == 0 {
		t.Fatal("no fields of waves found")
	}
	for _, f := range fields {
		if f[1] != "name" {
			wantMentioned(t, []string{"docs/upgrades.md"}, f[1])
		}
	}
}

func wantMentioned(t *testing.T, where []string, value string) {
	t.Helper()
	for _, page := range where {
		if strings.Contains(read(t, page), "`"+value+"`") {
			return
		}
	}
	t.Errorf("%s: `%s` is not mentioned", strings.Join(where, ", "), value)
}

// enum is a field with a fixed set of values.
var enum = regexp.MustCompile(`\+kubebuilder:validation:(?:items:)?Enum=(\S+)\n\t\w+ (?:\[\])?(\w+) `)

var constant = regexp.MustCompile(`(?m)^\t\w+ +(\w+) += "([^"]+)"`)

// values are those of the API's types, by type: of a fixed set, and its constants.
func values(t *testing.T) map[string][]string {
	t.Helper()
	sources, err := filepath.Glob(filepath.Join(root, "api", "v1alpha1", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, path := range sources {
		for _, m := range enum.FindAllStringSubmatch(read(t, filepath.Join("api", "v1alpha1", filepath.Base(path))), -1) {
			out[m[2]] = append(out[m[2]], strings.Split(m[1], ";")...)
		}
		for _, m := range constant.FindAllStringSubmatch(read(t, filepath.Join("api", "v1alpha1", filepath.Base(path))), -1) {
			out[m[1]] = append(out[m[1]], m[2])
		}
	}
	return out
}
