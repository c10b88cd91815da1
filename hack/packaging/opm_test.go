//go:build opm

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/operator-framework/operator-registry/alpha/declcfg"
)

// opm builds the program of operator-registry that serves and checks catalogs, from the module and with the flags of the lab. Without cgo it has
// no sqlite, which file-based catalogs do not need.
func opm(t *testing.T) func(args ...string) ([]byte, error) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "opm")
	build := exec.CommandContext(t.Context(), "go", "build", "-C", "../lab/artifacts/olm", "-trimpath", "-tags", "containers_image_openpgp", "-o", program,
		"github.com/operator-framework/operator-registry/cmd/opm")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build opm: %v\n%s", err, output)
	}
	return func(args ...string) ([]byte, error) {
		var output, messages bytes.Buffer
		command := exec.CommandContext(t.Context(), program, args...)
		command.Stdout, command.Stderr = &output, &messages
		err := command.Run()
		if err != nil {
			t.Logf("opm %s: %v\n%s", strings.Join(args, " "), err, messages.Bytes())
		}
		return output.Bytes(), err
	}
}

// catalogOf writes bundles of versions and their catalog.
func catalogOf(t *testing.T, image string, versions ...string) (bundles []string, catalog string) {
	t.Helper()
	dir := t.TempDir()
	catalog = filepath.Join(dir, "catalog")
	args := []string{"catalog", "--output", catalog}
	for _, version := range versions {
		bundle := filepath.Join(dir, version)
		if err := run([]string{"bundle", "--version", version, "--output", bundle}); err != nil {
			t.Fatal(err)
		}
		bundles = append(bundles, bundle)
		args = append(args, "--bundle", bundle+"="+image+version)
	}
	if err := run(args); err != nil {
		t.Fatal(err)
	}
	return bundles, catalog
}

func TestOPMValidatesTheCatalog(t *testing.T) {
	opm := opm(t)
	_, catalog := catalogOf(t, "registry.example.com/meshfleet-bundle:v", "0.1.0", "0.2.0-rc.1", "0.2.0")
	if _, err := opm("validate", catalog); err != nil {
		t.Errorf("the catalog is invalid: %v", err)
	}
	if err := os.Remove(filepath.Join(catalog, "meshfleet", "0.1.0.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, err := opm("validate", catalog); err == nil {
		t.Error("a catalog without one of its bundles is valid")
	}
}

// TestOPMRendersTheSame compares what the catalog has of a bundle with what opm makes of the directory.
func TestOPMRendersTheSame(t *testing.T) {
	opm := opm(t)
	const image = "registry.example.com/meshfleet-bundle:v"
	bundles, catalog := catalogOf(t, image, "0.1.0")
	output, err := opm("render", bundles[0], "--output", "yaml", "--migrate-level", "bundle-object-to-csv-metadata",
		"--alpha-image-ref-template", image+"0.1.0")
	if err != nil {
		t.Fatal(err)
	}
	want, err := declcfg.LoadReader(bytes.NewReader(output))
	if err != nil {
		t.Fatal(err)
	}
	got, err := declcfg.LoadFile(os.DirFS(filepath.Join(catalog, "meshfleet")), "0.1.0.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Bundles, got.Bundles); diff != "" {
		t.Errorf("the catalog differs from what opm renders (-opm +catalog):\n%s", diff)
	}
}
