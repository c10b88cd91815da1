package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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

// phases are the names that the controllers give to metrics.ObservePhase, by controller. A controller with a list of
// steps gives each step's name.
func phases(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "controllers", "*", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	var steps []string
	named := ""
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.CompositeLit:
				if list, ok := x.Type.(*ast.ArrayType); ok && isNamed(list.Elt, "step") {
					steps = firstStrings(t, x)
				}
			case *ast.CallExpr:
				if f, ok := x.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "ObservePhase" || len(x.Args) != 3 {
					return true
				}
				controller := text(t, x.Args[0])
				if phase := text(t, x.Args[1]); phase != "" {
					out[controller] = append(out[controller], phase)
				} else {
					named = controller
				}
			}
			return true
		})
	}
	if named != "" {
		out[named] = slices.Concat(steps, out[named])
	}
	return out
}

func isNamed(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// firstStrings are the first fields of a list of structs.
func firstStrings(t *testing.T, list *ast.CompositeLit) []string {
	t.Helper()
	var out []string
	for _, e := range list.Elts {
		if item, ok := e.(*ast.CompositeLit); ok && len(item.Elts) > 0 {
			out = append(out, text(t, item.Elts[0]))
		}
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
