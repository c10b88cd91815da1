package crd

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestRecordedObjects validates the objects of config/argocd, by which health checks and actions are tested, unknown fields included.
func TestRecordedObjects(t *testing.T) {
	validateBelow(t, filepath.Join("config", "argocd"), func(path string, object map[string]any) bool {
		return filepath.Base(filepath.Dir(path)) == "testdata"
	})
}

// TestGitOpsSamples validates the objects of the mesh in config/samples/gitops, unknown fields included.
func TestGitOpsSamples(t *testing.T) {
	validateBelow(t, filepath.Join("config", "samples", "gitops"), func(path string, object map[string]any) bool {
		return object["apiVersion"] == "mesh.meshfleet.io/v1alpha1"
	})
}

// validateBelow validates the files with objects of the mesh below a directory of the repository.
func validateBelow(t *testing.T, dir string, isOurs func(path string, object map[string]any) bool) {
	t.Helper()
	kinds := map[any]*kind{}
	for _, k := range []*kind{installations, members, upgrades, approvals} {
		kinds[k.name] = k
	}
	found := 0
	err := filepath.WalkDir(repository(dir), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		object := parse(t, string(content))
		if !isOurs(path, object) {
			return nil
		}
		found++
		k := kinds[object["kind"]]
		if k == nil {
			t.Errorf("%s: kind is %v", path, object["kind"])
			return nil
		}
		check(t, path, documentedObject{k, object})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found == 0 {
		t.Errorf("%s has no objects of the mesh", dir)
	}
}
