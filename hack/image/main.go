package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	var s spec
	flag.StringVar(&s.binary, "binary", "", "static Linux binary that becomes /manager")
	flag.StringVar(&s.charts, "charts", "", "directory that becomes /charts")
	flag.StringVar(&s.name, "name", "meshfleet/meshfleet:dev", "name and tag of the image")
	flag.StringVar(&s.arch, "arch", runtime.GOARCH, "architecture of the binary")
	output := flag.String("output", "bin", "directory to write to")
	flag.Parse()
	if err := run(s, *output); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

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
	oci := filepath.Join(output, "meshfleet-oci.tar")
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

// replace writes a file beside path and renames it into place, so that nobody reads half a file.
func replace(path string, write func(tmp string) error) error {
	tmp := path + ".tmp"
	defer func() { _ = os.Remove(tmp) }()
	if err := write(tmp); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
