package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	var s spec
	flag.StringVar(&s.binary, "binary", "", "static Linux binary that becomes /manager, or one for each architecture: amd64=PATH,arm64=PATH")
	flag.StringVar(&s.charts, "charts", "", "directory that becomes /charts")
	flag.StringVar(&s.name, "name", "meshfleet/meshfleet:dev", "name and tag of the image")
	flag.StringVar(&s.arch, "arch", runtime.GOARCH, "architecture of a single binary")
	flag.StringVar(&s.version, "version", "", "version in the image's labels; default: none")
	flag.StringVar(&s.revision, "revision", "", "Git commit in the image's labels; default: none")
	output := flag.String("output", "bin", "directory to write to")
	flag.Parse()
	write := run
	if strings.Contains(s.binary, "=") {
		write = runIndex
	}
	if err := write(s, *output); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// run writes the image of one architecture, in both formats.
func run(s spec, output string) error {
	tag, err := name.NewTag(s.name)
	if err != nil {
		return fmt.Errorf("image name %q: %w", s.name, err)
	}
	img, err := build(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(output, 0o755); err != nil {
		return err
	}
	docker := filepath.Join(output, "meshfleet.tar")
	if err := replace(docker, func(tmp string) error { return tarball.WriteToFile(tmp, tag, img) }); err != nil {
		return fmt.Errorf("write %s: %w", docker, err)
	}
	oci := filepath.Join(output, layoutFile)
	if err := replace(oci, func(tmp string) error { return writeOCI(tmp, tag, img) }); err != nil {
		return fmt.Errorf("write %s: %w", oci, err)
	}
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	fmt.Printf("image %s\n  digest         %s\n  docker archive %s\n  OCI layout     %s\n", s.name, digest, docker, oci)
	return nil
}

// runIndex writes one image for several architectures. Only an OCI layout can hold it.
func runIndex(s spec, output string) error {
	tag, err := name.NewTag(s.name)
	if err != nil {
		return fmt.Errorf("image name %q: %w", s.name, err)
	}
	specs, err := perArchitecture(s)
	if err != nil {
		return err
	}
	index, err := buildIndex(specs)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(output, 0o755); err != nil {
		return err
	}
	oci := filepath.Join(output, layoutFile)
	if err := replace(oci, func(tmp string) error { return writeOCI(tmp, tag, index) }); err != nil {
		return fmt.Errorf("write %s: %w", oci, err)
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	fmt.Printf("image %s of %d architectures\n  digest         %s\n  OCI layout     %s\n", s.name, len(specs), digest, oci)
	return nil
}

// replace writes a file beside path and renames it into place, so that nobody reads half a file.
func replace(path string, write func(tmp string) error) error {
	tmp := path + ".tmp"
	defer func() { _ = os.Remove(tmp) }()
	if err := write(tmp); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
