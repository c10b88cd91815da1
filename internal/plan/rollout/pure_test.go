package rollout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// impure are the packages by which a decision could depend on more than its arguments. Those below them count too.
var impure = []string{
	"context", "log", "os", "net", "math/rand", "sync",
	"github.com/go-logr", "k8s.io/klog", "k8s.io/client-go", "sigs.k8s.io/controller-runtime",
}

func TestPlanIsPure(t *testing.T) {
	var names []string
	for _, pattern := range []string{"*.go", "../*.go", "../upgrade/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: found %v, %v", pattern, found, err)
		}
		names = append(names, found...)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		packages := map[string]bool{}
		for _, i := range file.Imports {
			path, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(impure, func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") }) {
				t.Errorf("%s imports %s", name, path)
			}
			packages[path[strings.LastIndex(path, "/")+1:]] = true
			if i.Name != nil {
				packages[i.Name.Name] = true
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok || s.Sel.Name != "Now" {
				return true
			}
			// A field of that name is an argument.
			if of, ok := s.X.(*ast.Ident); ok && packages[of.Name] {
				t.Errorf("%s asks for the time; take it as an argument", name)
			}
			return true
		})
	}
}
