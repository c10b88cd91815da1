package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshfleet/meshfleet/controllers/member"
)

// TestPhasesAreDocumented wants the phases that docs/metrics.md lists for each controller to be those of the code, in the
// order in which they run.
func TestPhasesAreDocumented(t *testing.T) {
	code := phases(t)
	documented := map[string][]string{}
	name := regexp.MustCompile("`([A-Za-z]+)`")
	// A sentence: Phases of the controller `a`: `b`, `c`.
	for _, sentence := range regexp.MustCompile("Phases of (?:the controller )?(`[^.]*)\\.").FindAllStringSubmatch(read(t, "docs/metrics.md"), -1) {
		var words []string
		for _, m := range name.FindAllStringSubmatch(sentence[1], -1) {
			words = append(words, m[1])
		}
		documented[words[0]] = words[1:]
	}
	if len(code["meshmember"]) == 0 || len(code["meshinstallation"]) == 0 {
		t.Errorf("no phases found in the code: %v", code)
	}
	if diff := cmp.Diff(code, documented); diff != "" {
		t.Errorf("phases (-code +docs/metrics.md):\n%s", diff)
	}
}

// phases are the names of the steps of a pass over a member, and those that the other controller gives to metrics.ObservePhase.
func phases(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{"meshmember": member.StepNames()}
	files, err := filepath.Glob(filepath.Join(root, "controllers", "installation", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if f, ok := call.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "ObservePhase" && len(call.Args) == 3 {
				controller := text(t, call.Args[0])
				out[controller] = append(out[controller], text(t, call.Args[1]))
			}
			return true
		})
	}
	return out
}

// text is the value of a string literal, or empty for anything else.
func text(t *testing.T, e ast.Expr) string {
	t.Helper()
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return ""
	}
	value, err := strconv.Unquote(literal.Value)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// TestStepsAreInTheArchitecture wants the table of docs/architecture.md to have the steps of a pass over a member, in their order.
func TestStepsAreInTheArchitecture(t *testing.T) {
	var documented []string
	_, section, _ := strings.Cut(read(t, "docs/architecture.md"), "## The phases of a member")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Za-z]+)` \\|").FindAllStringSubmatch(section, -1) {
		documented = append(documented, row[1])
	}
	if diff := cmp.Diff(member.StepNames(), documented); diff != "" {
		t.Errorf("steps (-code +docs/architecture.md):\n%s", diff)
	}
}
