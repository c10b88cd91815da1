package main

import (
	"archive/zip"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// charts maps a chart's name to its directory below manifests/charts in the module.
var charts = map[string]string{
	"base":    "base",
	"istiod":  "istio-control/istio-discovery",
	"gateway": "gateway",
}

// hub is the registry of Istio's released images.
const hub = "docker.io/istio"

// The lines that Istio's release build rewrites.
var (
	chartVersion = regexp.MustCompile(`(?m)^(version|appVersion): .*$`)
	defaultHub   = regexp.MustCompile(`(?m)^([ \t]*hub: )(gcr\.io/istio-testing|gcr\.io/istio-release|registry\.istio\.io/testing)[ \t]*$`)
	defaultTag   = regexp.MustCompile(`(?m)^([ \t]*tag: )(latest|\S+-latest-daily|1\.\S*-dev)[ \t]*$`)
)

// writeRelease makes dir from the module archive. It builds beside dir and renames at the end.
func writeRelease(archive string, r release, dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+r.version+"-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := extract(archive, r, tmp); err != nil {
		return err
	}
	for name := range charts {
		if _, err := os.Stat(filepath.Join(tmp, name, "Chart.yaml")); err != nil {
			return fmt.Errorf("the module holds no chart %s: %w", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(tmp, sourceFile), []byte(r.source()), 0o644); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}

// extract copies the charts and the licence out of the archive, stamped with the release.
func extract(archive string, r release, dir string) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer func() { _ = z.Close() }()
	root := "istio.io/istio@" + r.module + "/"
	for _, f := range z.File {
		target, ok := targetOf(strings.TrimPrefix(f.Name, root))
		if !ok {
			continue
		}
		content, err := readFile(f)
		if err != nil {
			return fmt.Errorf("read %s: %w", f.Name, err)
		}
		content = stamp(path.Base(target), content, r.version)
		if !filepath.IsLocal(target) {
			return fmt.Errorf("%q leads out of the archive", f.Name)
		}
		out := filepath.Join(dir, filepath.FromSlash(target))
		if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(out, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// targetOf maps a file of the module to its place in a release's directory.
func targetOf(name string) (string, bool) {
	if name == "LICENSE" {
		return name, true
	}
	for chart, dir := range charts {
		if rest, ok := strings.CutPrefix(name, "manifests/charts/"+dir+"/"); ok {
			return path.Join(chart, rest), true
		}
	}
	return "", false
}

func stamp(base string, content []byte, version string) []byte {
	switch base {
	case "Chart.yaml":
		return chartVersion.ReplaceAll(content, []byte("${1}: "+version))
	case "values.yaml":
		content = defaultHub.ReplaceAll(content, []byte("${1}"+hub))
		return defaultTag.ReplaceAll(content, []byte("${1}"+version))
	default:
		return content
	}
}

func readFile(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	return io.ReadAll(r)
}
