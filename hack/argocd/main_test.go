package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/meshfleet/meshfleet/internal/testutil"
)

// TestEveryScriptIsInAConfigMap reads what is written, and wants every script of the repository in it, unchanged.
func TestEveryScriptIsInAConfigMap(t *testing.T) {
	scripts, output := testutil.InRepository("config", "argocd"), t.TempDir()
	testutil.Must(t, run(scripts, output))
	for name, dir := range files {
		want, got := map[string]string{}, written(t, filepath.Join(output, name))
		root := filepath.Join(scripts, dir)
		testutil.Must(t, filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".lua" {
				return err
			}
			content, err := os.ReadFile(path)
			want[strings.TrimPrefix(path, root+"/")] = string(content)
			return err
		}))
		if len(want) == 0 {
			t.Errorf("%s has no scripts", root)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("scripts in %s (-want +got):\n%s", name, diff)
		}
	}
}

// written returns the scripts of a ConfigMap, by the paths of their files.
func written(t *testing.T, path string) map[string]string {
	t.Helper()
	content, err := os.ReadFile(path)
	testutil.Must(t, err)
	cm := struct {
		Data map[string]string `json:"data"`
	}{}
	testutil.Must(t, yaml.Unmarshal(content, &cm))
	out := map[string]string{}
	for key, value := range cm.Data {
		parts := strings.SplitN(key, ".", 4)
		kind := strings.Replace(parts[len(parts)-1], "_", "/", 1)
		switch strings.TrimSuffix(key, "."+parts[len(parts)-1]) {
		case "resource.customizations.health":
			out[kind+"/health.lua"] = value
		case "resource.customizations.actions":
			all := actions{}
			testutil.Must(t, yaml.UnmarshalStrict([]byte(value), &all))
			out[kind+"/actions/discovery.lua"] = all.Discovery
			for _, d := range all.Definitions {
				out[kind+"/actions/"+d.Name+"/action.lua"] = d.Action
			}
		default:
			t.Errorf("%s has the key %q, which Argo CD does not know", path, key)
		}
	}
	return out
}

func TestIncompleteScriptsAreRefused(t *testing.T) {
	cases := map[string]struct{ file, want string }{
		"no scripts":              {"g/Kind/health_test.yaml", "has no scripts"},
		"actions without a list":  {"g/Kind/actions/pause/action.lua", "has 1 actions, and a discovery.lua of 0 bytes"},
		"a list without any item": {"g/Kind/actions/discovery.lua", "has 0 actions, and a discovery.lua of 10 bytes"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, c.file)
			testutil.Must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			testutil.Must(t, os.WriteFile(path, []byte("return obj"), 0o644))
			if _, err := customizations(dir); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %q", err, c.want)
			}
		})
	}
}
