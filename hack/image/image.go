package main

import (
	"bytes"
	"debug/elf"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/meshfleet/meshfleet/hack/image/writer"
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
const certificates = "/etc/ssl/certs/ca-certificates.crt"

// build assembles the image: what changes least comes first, so that registries and nodes keep those layers.
func build(s spec) (v1.Image, error) {
	binary, err := os.ReadFile(s.binary)
	if err != nil {
		return nil, err
	}
	if err := checkStatic(binary); err != nil {
		return nil, fmt.Errorf("%s: %w", s.binary, err)
	}
	charts, err := writer.Tree(s.charts, "/charts")
	if err != nil {
		return nil, fmt.Errorf("read charts: %w", err)
	}
	if len(charts) == 0 {
		return nil, fmt.Errorf("no charts in %s: run make charts", s.charts)
	}
	return writer.Image{
		Arch: s.arch,
		Config: v1.Config{
			User:       "65532:65532",
			Entrypoint: []string{"/manager"},
			WorkingDir: "/",
			Env:        []string{"PATH=/", "SSL_CERT_FILE=" + certificates},
			Labels: map[string]string{
				"org.opencontainers.image.title":    "Meshfleet",
				"org.opencontainers.image.source":   "https://github.com/meshfleet/meshfleet",
				"org.opencontainers.image.licenses": "Apache-2.0",
			},
		},
		Layers: []writer.Layer{
			layer("users and public root certificates",
				writer.Text("/etc/group", group), writer.Text("/etc/passwd", passwd),
				writer.Text(certificates, string(publicRoots())), writer.SharedDir("/tmp")),
			layer("Istio's charts", charts...),
			layer("the operator", writer.File{Path: "/manager", Mode: 0o755, Content: binary}),
		},
	}.Build()
}

func layer(comment string, files ...writer.File) writer.Layer {
	return writer.Layer{Files: files, History: v1.History{Created: writer.Epoch, CreatedBy: "hack/image", Comment: comment}}
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
