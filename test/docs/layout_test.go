package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshfleet/meshfleet/internal/testutil"
)

// What one room of the operator may hold. More than that nobody keeps in mind: split the package or the type.
const (
	maxFiles, maxMethods, maxReconcilerFields = 15, 30, 8
)

// TestRoomsAreSmall counts the files of each package, the methods of each type, and the fields of each Reconciler.
func TestRoomsAreSmall(t *testing.T) {
	for _, root := range []string{"api", "controllers", "internal", "webhooks", "hack"} {
		files, methods := map[string]int{}, map[string]int{}
		testutil.Must(t, filepath.WalkDir(testutil.InRepository(root), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(e.Name(), "zz_") {
				return err
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			dir := filepath.Dir(path)
			files[dir]++
			for _, d := range parsed.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil {
					methods[dir+"."+receiver(f)]++
				}
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				if s, ok := n.(*ast.TypeSpec); ok && s.Name.Name == "Reconciler" {
					if got := fields(s); got > maxReconcilerFields {
						t.Errorf("%s: Reconciler has %d fields, at most %d are allowed", path, got, maxReconcilerFields)
					}
				}
				return true
			})
			return nil
		}))
		for dir, got := range files {
			if got > maxFiles {
				t.Errorf("package %s has %d source files, at most %d are allowed", dir, got, maxFiles)
			}
		}
		for name, got := range methods {
			if got > maxMethods {
				t.Errorf("%s has %d methods, at most %d are allowed", name, got, maxMethods)
			}
		}
	}
}

func receiver(f *ast.FuncDecl) string {
	expr := f.Recv.List[0].Type
	for {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.Ident:
			return e.Name
		default:
			return ""
		}
	}
}

func fields(s *ast.TypeSpec) (n int) {
	body, ok := s.Type.(*ast.StructType)
	if !ok {
		return 0
	}
	for _, f := range body.Fields.List {
		n += max(len(f.Names), 1)
	}
	return n
}
