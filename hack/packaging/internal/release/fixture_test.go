package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/meshfleet/meshfleet/hack/image/writer"
)

// realRepository is the root of the repository of this test.
const realRepository = "../../../.."

// options returns the inputs of a small release: the manifests of the repository in a repository of its own, a small program for two
// architectures, an image of them, and one chart.
func options(t *testing.T) Options {
	t.Helper()
	dir := t.TempDir()
	repository := filepath.Join(dir, "repository")
	if err := os.CopyFS(filepath.Join(repository, "config"), os.DirFS(filepath.Join(realRepository, "config"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range append([]string{"hack/member-kubeconfig.sh", "hack/image/go.mod"}, lockFiles...) {
		content, err := os.ReadFile(filepath.Join(realRepository, name))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(repository, name), string(content))
	}
	gitRepository(t, repository)
	writeFile(t, filepath.Join(dir, "charts", "1.29.1", "SOURCE"), "istio.io/istio v0.0.0-1 h1:abc= packager 1\n")
	writeFile(t, filepath.Join(dir, "charts", "1.29.1", "base", "Chart.yaml"), "name: base\n")
	writeFile(t, filepath.Join(dir, "charts", "1.29.1", "base", "files", "crds.yaml"), "kind: CustomResourceDefinition\n")
	writeFile(t, filepath.Join(dir, "charts", "1.29.1", "base", "files-of-hooks.yaml"), "kind: Job\n")
	writeFile(t, filepath.Join(dir, "charts", "1.29.1", "base", ".helmignore"), "*.swp\n")
	o := Options{
		Repository: repository, Output: filepath.Join(dir, "output"), Version: "1.2.3", Image: "registry.example.com/meshfleet",
		ImageArchive: filepath.Join(dir, "image.tar"), Charts: filepath.Join(dir, "charts"),
		Binaries: binaries(t, dir), Builder: "https://example.com/builder",
	}
	writeImage(t, o.ImageArchive, "amd64", "arm64")
	return o
}

// binaries builds a program for two architectures.
func binaries(t *testing.T, dir string) map[string]string {
	t.Helper()
	program := filepath.Join(dir, "program")
	writeFile(t, filepath.Join(program, "go.mod"), "module example.com/program\n\ngo 1.26\n")
	writeFile(t, filepath.Join(program, "main.go"), "package main\n\nfunc main() {}\n")
	all := map[string]string{}
	for _, arch := range []string{"amd64", "arm64"} {
		all[arch] = filepath.Join(dir, "manager-"+arch)
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", all[arch], ".")
		cmd.Dir = program
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build the test program for %s: %v\n%s", arch, err, out)
		}
	}
	return all
}

// writeImage writes an OCI layout with an image for each architecture.
func writeImage(t *testing.T, archive string, architectures ...string) {
	t.Helper()
	index := mutate.AppendManifests(empty.Index)
	for _, arch := range architectures {
		image, err := writer.Image{Arch: arch, Layers: []writer.Layer{{Files: []writer.File{writer.Text("/arch", arch)}}}}.Build()
		if err != nil {
			t.Fatal(err)
		}
		platform := &v1.Platform{OS: "linux", Architecture: arch}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
	}
	if err := writer.WriteLayout(archive, index, nil); err != nil {
		t.Fatal(err)
	}
}
