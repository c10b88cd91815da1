package main

import (
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// perArchitecture returns one spec for each entry of a list of binaries: amd64=PATH,arm64=PATH.
func perArchitecture(s spec) ([]spec, error) {
	var specs []spec
	seen := map[string]bool{}
	for entry := range strings.SplitSeq(s.binary, ",") {
		arch, path, ok := strings.Cut(entry, "=")
		if !ok || arch == "" || path == "" {
			return nil, fmt.Errorf("binary %q: write ARCHITECTURE=PATH", entry)
		}
		if seen[arch] {
			return nil, fmt.Errorf("there are two binaries for %s", arch)
		}
		seen[arch] = true
		one := s
		one.arch, one.binary = arch, path
		specs = append(specs, one)
	}
	return specs, nil
}

// buildIndex makes an image for each spec, and one index of all.
func buildIndex(specs []spec) (v1.ImageIndex, error) {
	var images []mutate.IndexAddendum
	for _, s := range specs {
		img, err := build(s)
		if err != nil {
			return nil, fmt.Errorf("image for %s: %w", s.arch, err)
		}
		platform := &v1.Platform{OS: "linux", Architecture: s.arch}
		images = append(images, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: platform}})
	}
	return mutate.AppendManifests(empty.Index, images...), nil
}
