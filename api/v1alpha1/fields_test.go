package v1alpha1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestEveryFieldIsUsed keeps promises: what people can write in a spec must be read by the code that acts on it, and
// what a status offers must be set by it. Admission does not count: a field that is only validated does nothing.
func TestEveryFieldIsUsed(t *testing.T) {
	uses := usesOfFields(t, "./controllers/...", "./internal/...")
	for _, spec := range []any{MeshInstallationSpec{}, MeshMemberSpec{}} {
		for _, f := range fields(reflect.TypeOf(spec), nil) {
			if !uses.read[f] {
				t.Errorf("no code reads %s", f)
			}
		}
	}
	for _, status := range []any{MeshInstallationStatus{}, MeshMemberStatus{}} {
		for _, f := range fields(reflect.TypeOf(status), nil) {
			if !uses.read[f] && !uses.written[f] {
				t.Errorf("no code sets %s", f)
			}
		}
	}
}

// fields are the fields of a struct and of the structs of this package below it, as `<struct>.<field>`.
func fields(s reflect.Type, found []string) []string {
	for f := range s.Fields() {
		name := s.Name() + "." + f.Name
		if slices.Contains(found, name) {
			continue
		}
		found = append(found, name)
		below := f.Type
		for below.Kind() == reflect.Pointer || below.Kind() == reflect.Slice {
			below = below.Elem()
		}
		if below.Kind() == reflect.Struct && below.PkgPath() == s.PkgPath() {
			found = fields(below, found)
		}
	}
	return found
}

// fieldUses says which fields of this package other code reads and writes.
type fieldUses struct{ read, written map[string]bool }

// listed is a package as go list describes it.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
	DepOnly                 bool
}

// usesOfFields finds the uses in packages, tests and what only tests use aside.
func usesOfFields(t *testing.T, patterns ...string) fieldUses {
	t.Helper()
	packages := list(t, patterns)
	exports := map[string]string{}
	for _, p := range packages {
		exports[p.ImportPath] = p.Export
	}
	positions := token.NewFileSet()
	imports := importer.ForCompiler(positions, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	uses := fieldUses{read: map[string]bool{}, written: map[string]bool{}}
	for _, p := range packages {
		if p.DepOnly || strings.HasSuffix(p.ImportPath, "/internal/testutil") {
			continue
		}
		var files []*ast.File
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(positions, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
		info := &types.Info{
			Selections: map[*ast.SelectorExpr]*types.Selection{}, Types: map[ast.Expr]types.TypeAndValue{},
		}
		if _, err := (&types.Config{Importer: imports}).Check(p.ImportPath, positions, files, info); err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			uses.collect(file, info)
		}
	}
	if len(uses.read) == 0 {
		t.Fatal("found no use of any field: the search itself is broken")
	}
	return uses
}

func list(t *testing.T, patterns []string) []listed {
	t.Helper()
	args := append([]string{"list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,DepOnly"}, patterns...)
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = filepath.Join("..", "..")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var packages []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// collect notes the uses in one file. Selecting a field reads it, unless something is assigned to it; naming it in a
// literal writes it.
func (u fieldUses) collect(file *ast.File, info *types.Info) {
	assigned := map[ast.Expr]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, left := range n.Lhs {
				assigned[left] = true
			}
		case *ast.SelectorExpr:
			s := info.Selections[n]
			if s == nil || s.Kind() != types.FieldVal {
				return true
			}
			if owner := nameOf(s.Recv()); owner != "" && assigned[n] {
				u.written[owner+"."+n.Sel.Name] = true
			} else if owner != "" {
				u.read[owner+"."+n.Sel.Name] = true
			}
		case *ast.CompositeLit:
			owner := nameOf(info.Types[n].Type)
			for _, element := range n.Elts {
				if pair, ok := element.(*ast.KeyValueExpr); ok && owner != "" {
					u.written[owner+"."+fmt.Sprint(pair.Key)] = true
				}
			}
		}
		return true
	})
}

// nameOf is the name of a struct of this package, or of one that a pointer points at; empty for any other type.
func nameOf(t types.Type) string {
	if p, ok := t.(*types.Pointer); ok {
		t = p.Elem()
	}
	named, ok := types.Unalias(t).(*types.Named)
	if !ok || named.Obj().Pkg() == nil || named.Obj().Pkg().Path() != reflect.TypeOf(MeshMember{}).PkgPath() {
		return ""
	}
	return named.Obj().Name()
}
