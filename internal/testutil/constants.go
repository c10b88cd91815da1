package testutil

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"testing"
)

// APIConstants are the constants of the API that are texts, by their names, of the files that a pattern names: conditions.go, or *.go for all.
func APIConstants(t *testing.T, pattern string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(InRepository("api", "v1alpha1", pattern))
	Must(t, err)
	out := map[string]string{}
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		Must(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Names) != len(spec.Values) {
				return true
			}
			for i, name := range spec.Names {
				if literal, ok := spec.Values[i].(*ast.BasicLit); ok && literal.Kind == token.STRING {
					value, err := strconv.Unquote(literal.Value)
					Must(t, err)
					out[name.Name] = value
				}
			}
			return true
		})
	}
	if len(out) == 0 {
		t.Fatalf("api/v1alpha1/%s has no constants", pattern)
	}
	return out
}
