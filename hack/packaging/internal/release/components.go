package release

import (
	"debug/buildinfo"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"golang.org/x/mod/modfile"
)

// componentLists adds one CycloneDX list (SBOM) for each architecture of the image.
func componentLists(r *Release) error {
	for _, arch := range slices.Sorted(maps.Keys(r.Binaries)) {
		if err := r.addArchitecture(arch); err != nil {
			return fmt.Errorf("components for %s: %w", arch, err)
		}
	}
	return nil
}

// addArchitecture lists what is in the image of an architecture: the modules that the binary itself names, the standard library, Istio's
// charts, and the public root certificates.
func (r *Release) addArchitecture(arch string) error {
	binary := r.Binaries[arch]
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	sum, err := sumOf(binary)
	if err != nil {
		return err
	}
	charts, err := chartComponents(r.Charts)
	if err != nil {
		return err
	}
	roots, err := rootCertificates(r.Repository)
	if err != nil {
		return err
	}
	all := append([]cdx.Component{standardLibrary(info.GoVersion)}, modules(info.Deps)...)
	all = append(append(all, charts...), roots)

	main := module(info.Main.Path, "v"+r.Version)
	main.Type, main.Name, main.Description = cdx.ComponentTypeApplication, "meshfleet", "The operator's binary for linux/"+arch
	main.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sum}}
	main.Licenses = &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}}
	return r.addComponents(arch, main, sum, all)
}

// toolchain is the version of Go that has built the binaries, for example go1.26.8.
func (r *Release) toolchain() (string, error) {
	version := ""
	for arch, binary := range r.Binaries {
		info, err := buildinfo.ReadFile(binary)
		if err != nil {
			return "", err
		}
		if version != "" && version != info.GoVersion {
			return "", fmt.Errorf("the binary for %s was built with %s, another one with %s: build all of them again", arch, info.GoVersion, version)
		}
		version = info.GoVersion
	}
	return version, nil
}

// references are the components to which the binary's entry points. A binary does not tell which module needs which.
func references(components []cdx.Component) *[]string {
	var all []string
	for _, c := range components {
		all = append(all, c.BOMRef)
	}
	return &all
}

func modules(dependencies []*debug.Module) []cdx.Component {
	var all []cdx.Component
	for _, m := range dependencies {
		if m.Replace != nil {
			m = m.Replace
		}
		c := module(m.Path, m.Version)
		if m.Sum != "" {
			c.Properties = &[]cdx.Property{{Name: "meshfleet:go.sum", Value: m.Sum}}
		}
		all = append(all, c)
	}
	return all
}

func module(path, version string) cdx.Component {
	// A plus sign has a meaning in URLs, and the names of modules are in lower case there.
	purl := "pkg:golang/" + strings.ToLower(path) + "@" + strings.ReplaceAll(version, "+", "%2B")
	return cdx.Component{Type: cdx.ComponentTypeLibrary, BOMRef: purl, Name: path, Version: version, PackageURL: purl}
}

// standardLibrary has the name under which scanners look for it.
func standardLibrary(goVersion string) cdx.Component {
	return module("stdlib", strings.TrimPrefix(goVersion, "go"))
}

// rootsModule is the module from which hack/image takes the public root certificates.
const rootsModule = "golang.org/x/crypto/x509roots/fallback"

func rootCertificates(repository string) (cdx.Component, error) {
	path := filepath.Join(repository, "hack", "image", "go.mod")
	content, err := os.ReadFile(path)
	if err != nil {
		return cdx.Component{}, err
	}
	file, err := modfile.Parse(path, content, nil)
	if err != nil {
		return cdx.Component{}, err
	}
	for _, required := range file.Require {
		if required.Mod.Path == rootsModule {
			c := module(rootsModule, required.Mod.Version)
			c.Description = "Public root certificates, /etc/ssl/certs/ca-certificates.crt in the image"
			return c, nil
		}
	}
	return cdx.Component{}, fmt.Errorf("%s does not require %s", path, rootsModule)
}

// uuidOf makes a UUID of version 8 (RFC 9562) of a checksum in hexadecimal digits.
func uuidOf(sum string) string {
	return fmt.Sprintf("%s-%s-8%s-8%s-%s", sum[0:8], sum[8:12], sum[13:16], sum[17:20], sum[20:32])
}
