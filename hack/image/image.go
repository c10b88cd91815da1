package main

import (
	"bytes"
	"debug/elf"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// spec says what goes into the image.
type spec struct {
	binary, charts, name, arch string
}

const passwd = `root:x:0:0:root:/:/sbin/nologin
nonroot:x:65532:65532:nonroot:/:/sbin/nologin
`

const group = `root:x:0:
nonroot:x:65532:
`

// certificates is where Go programs look for public root certificates.
const certificates = "etc/ssl/certs/ca-certificates.crt"

// build assembles the image: what changes least comes first, so that registries and nodes keep those layers.
func build(s spec) (v1.Image, error) {
	binary, err := os.ReadFile(s.binary)
	if err != nil {
		return nil, err
	}
	if err := checkStatic(binary); err != nil {
		return nil, fmt.Errorf("%s: %w", s.binary, err)
	}
	system := files{
		{path: "etc/group", mode: 0o644, content: []byte(group)},
		{path: "etc/passwd", mode: 0o644, content: []byte(passwd)},
		{path: certificates, mode: 0o644, content: publicRoots()},
		{path: "tmp/", mode: 0o1777},
	}
	charts, err := readTree(s.charts, "charts")
	if err != nil {
		return nil, fmt.Errorf("read charts: %w", err)
	}
	if len(charts) < 2 {
		return nil, fmt.Errorf("no charts in %s: run make charts", s.charts)
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, l := range []struct {
		comment string
		files   files
	}{
		{"users and public root certificates", system},
		{"Istio's charts", charts},
		{"the operator", files{{path: "manager", mode: 0o755, content: binary}}},
	} {
		layer, err := l.files.layer()
		if err != nil {
			return nil, err
		}
		img, err = mutate.Append(img, mutate.Addendum{
			Layer:     layer,
			MediaType: types.OCILayer,
			History:   v1.History{Created: v1.Time{Time: time.Unix(0, 0).UTC()}, CreatedBy: "hack/image", Comment: l.comment},
		})
		if err != nil {
			return nil, err
		}
	}
	return configure(img, s.arch)
}

func configure(img v1.Image, arch string) (v1.Image, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	config.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	config.Config = v1.Config{
		User:       "65532:65532",
		Entrypoint: []string{"/manager"},
		WorkingDir: "/",
		Env:        []string{"PATH=/", "SSL_CERT_FILE=/" + certificates},
		Labels: map[string]string{
			"org.opencontainers.image.title":    "Meshfleet",
			"org.opencontainers.image.source":   "https://github.com/meshfleet/meshfleet",
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return mutate.ConfigFile(img, config)
}

// checkStatic refuses a binary that would look for a loader or libraries, because the image has none.
func checkStatic(binary []byte) error {
	f, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		return fmt.Errorf("not a Linux binary: %w", err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return errors.New("not a static binary: build it with CGO_ENABLED=0")
		}
	}
	return nil
}

func publicRoots() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		// Roots with constraints are not for general use, and a PEM file cannot say so.
		if root.Constraint != nil {
			continue
		}
		_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
	}
	return out.Bytes()
}

// readTree reads a directory as files below prefix.
func readTree(dir, prefix string) (files, error) {
	out := files{{path: prefix + "/", mode: 0o755}}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		target := prefix + "/" + filepath.ToSlash(rel)
		switch {
		case entry.IsDir():
			out = append(out, file{path: target + "/", mode: 0o755})
		case entry.Type().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			out = append(out, file{path: target, mode: 0o644, content: content})
		default:
			return fmt.Errorf("%s is neither a file nor a directory", path)
		}
		return nil
	})
	return out, err
}
