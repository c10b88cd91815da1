package main

import (
	_ "embed"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// packager is part of the provenance line: raise it whenever stamping changes, so that existing output is remade.
const packager = "packager 1"

// sourceFile in a release's directory says what it was made from.
const sourceFile = "SOURCE"

//go:embed modules.txt
var modulesTable string

// release is one line of modules.txt.
type release struct {
	version string // Istio release, e.g. 1.29.1
	module  string // version of the module istio.io/istio
	sum     string // h1 checksum of the module
}

func (r release) source() string {
	return fmt.Sprintf("istio.io/istio %s %s %s\n", r.module, r.sum, packager)
}

func main() {
	output := flag.String("output", "bin/charts", "directory to write to")
	only := flag.String("versions", "", "comma-separated releases to package; default: all")
	list := flag.Bool("list", false, "print the releases that can be packaged and exit")
	flag.Parse()
	if err := run(*output, *only, *list); err != nil {
		fmt.Fprintln(os.Stderr, "charts:", err)
		os.Exit(1)
	}
}

func run(output, only string, list bool) error {
	releases, err := parseReleases(modulesTable)
	if err != nil {
		return err
	}
	if list {
		for _, r := range releases {
			fmt.Println(r.version)
		}
		return nil
	}
	if releases, err = choose(releases, only); err != nil {
		return err
	}
	for _, r := range releases {
		dir := filepath.Join(output, r.version)
		if isCurrent(dir, r) {
			continue
		}
		archive, err := download(r)
		if err != nil {
			return err
		}
		if err := writeRelease(archive, r, dir); err != nil {
			return fmt.Errorf("package Istio %s: %w", r.version, err)
		}
		fmt.Printf("charts: Istio %s -> %s\n", r.version, dir)
	}
	return nil
}

func parseReleases(table string) ([]release, error) {
	var releases []release
	for line := range strings.Lines(table) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 3 || !strings.HasPrefix(f[2], "h1:") {
			return nil, fmt.Errorf("modules.txt: %q is not <release> <module version> <h1 sum>", line)
		}
		releases = append(releases, release{version: f[0], module: f[1], sum: f[2]})
	}
	return releases, nil
}

func choose(releases []release, only string) ([]release, error) {
	if only == "" {
		return releases, nil
	}
	var chosen []release
next:
	for want := range strings.SplitSeq(only, ",") {
		for _, r := range releases {
			if r.version == want {
				chosen = append(chosen, r)
				continue next
			}
		}
		return nil, fmt.Errorf("release %q is not in modules.txt", want)
	}
	return chosen, nil
}

// isCurrent says whether dir was made from r by this packager. writeRelease renames a whole directory into place,
// so the file that says so exists only in a complete one.
func isCurrent(dir string, r release) bool {
	got, err := os.ReadFile(filepath.Join(dir, sourceFile))
	return err == nil && string(got) == r.source()
}
