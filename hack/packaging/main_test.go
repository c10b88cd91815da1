package main

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBundleCatalogAndValidate runs the subcommands as the Makefile does.
func TestBundleCatalogAndValidate(t *testing.T) {
	dir := t.TempDir()
	bundle, catalog := filepath.Join(dir, "bundle"), filepath.Join(dir, "catalog")
	for _, args := range [][]string{
		{"bundle", "--version", "v0.1.0", "--output", bundle},
		{"catalog", "--bundle", bundle + "=registry.example.com/meshfleet-bundle:v0.1.0", "--output", catalog},
		{"validate", "--bundle", bundle, "--catalog", catalog},
	} {
		if err := run(args); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
	}
	content, err := os.ReadFile(filepath.Join(catalog, "meshfleet", "0.1.0.yaml"))
	if err != nil || !strings.Contains(string(content), "image: registry.example.com/meshfleet-bundle:v0.1.0\n") {
		t.Errorf("the catalog does not have the image of the bundle, error %v", err)
	}
}

func TestRunRefuses(t *testing.T) {
	for want, args := range map[string][]string{
		"name a subcommand":     nil,
		`subcommand "test"`:     {"test"},
		"--version":             {"bundle"},
		"images have no digest": {"bundle", "--version", "0.1.0", "--release", "--output", t.TempDir()},
	} {
		if err := run(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error is %v, want %q in it", args, err, want)
		}
	}
	if err := run([]string{"bundle", "-h"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("error of -h is %v", err)
	}
}

func TestCreated(t *testing.T) {
	if got, err := created(""); err != nil || !got.IsZero() {
		t.Errorf("without a time it is %s, error %v", got, err)
	}
	if got, err := created("1767225600"); err != nil || !got.Equal(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("it is %s, error %v", got, err)
	}
	if _, err := created("today"); err == nil {
		t.Error("no error for a word")
	}
}
