package main

import (
	"bytes"
	"debug/elf"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/meshfleet/meshfleet/hack/image/writer"
)

// spec says what goes into the image.
type spec struct {
	// binary is a path, or a list of architectures and paths.
	binary, charts, name, arch string
	// version and revision are written into labels, unless they are empty.
	version, revision string
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
	if err := checkBinary(binary, s.arch); err != nil {
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
			Labels:     labels(s),
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

// labels are those of the OCI image specification.
func labels(s spec) map[string]string {
	all := map[string]string{
		"org.opencontainers.image.title":    "Meshfleet",
		"org.opencontainers.image.source":   "https://github.com/meshfleet/meshfleet",
		"org.opencontainers.image.licenses": "Apache-2.0",
	}
	if s.version != "" {
		all["org.opencontainers.image.version"] = s.version
	}
	if s.revision != "" {
		all["org.opencontainers.image.revision"] = s.revision
	}
	return all
}

// machines are the names of architectures in Linux binaries.
var machines = map[string]elf.Machine{
	"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "ppc64le": elf.EM_PPC64, "riscv64": elf.EM_RISCV, "s390x": elf.EM_S390,
}

// checkBinary refuses a binary that the architecture of its image cannot run, and one that would look for a loader or
// libraries, because the image has none.
func checkBinary(binary []byte, arch string) error {
	f, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		return fmt.Errorf("not a Linux binary: %w", err)
	}
	want, ok := machines[arch]
	if !ok {
		return fmt.Errorf("architecture %q is not known: name one of %s", arch, strings.Join(slices.Sorted(maps.Keys(machines)), ", "))
	}
	if f.Machine != want {
		return fmt.Errorf("a binary for %s, but the image is for %s: build it with GOARCH=%s", f.Machine, want, arch)
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
