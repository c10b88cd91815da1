package release

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chart/loader"
	appsv1 "k8s.io/api/apps/v1"

	"github.com/meshfleet/meshfleet/hack/packaging/internal/manifests"
)

// written runs a release, and returns it with its files.
func written(t *testing.T, o Options, artefacts []Artefact) (*Release, map[string][]byte) {
	t.Helper()
	r, err := Run(o, artefacts)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(o.Output)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, entry := range entries {
		if files[entry.Name()], err = os.ReadFile(filepath.Join(o.Output, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return r, files
}

func TestReleaseIsComplete(t *testing.T) {
	_, files := written(t, options(t), append(Artefacts(), pinned(t).Add))
	want := []string{
		"checksums.txt", "install.yaml", "local-member.yaml", "member-kubeconfig.sh", "member-rbac.yaml", "meshfleet-1.2.3-amd64.cdx.json",
		"meshfleet-1.2.3-arm64.cdx.json", "meshfleet-1.2.3-bundle-image.tar", "meshfleet-1.2.3-bundle.cdx.json", "meshfleet-1.2.3-bundle.tar.gz",
		"meshfleet-1.2.3-catalog.tar.gz", "meshfleet-1.2.3-image.tar", "meshfleet-1.2.3.tgz", "provenance.intoto.json", "sample.yaml",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(files))); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestReleaseIsReproducible(t *testing.T) {
	o := options(t)
	_, first := written(t, o, append(Artefacts(), pinned(t).Add))
	o.Output = filepath.Join(t.TempDir(), "again")
	_, second := written(t, o, append(Artefacts(), pinned(t).Add))
	for name := range first {
		if !bytes.Equal(first[name], second[name]) {
			t.Errorf("%s differs between two runs", name)
		}
	}
	if len(first) != len(second) {
		t.Errorf("%d files, then %d", len(first), len(second))
	}
}

func TestReleaseNamesTheImageByDigest(t *testing.T) {
	r, files := written(t, options(t), Artefacts())
	if !strings.HasPrefix(r.Reference(), "registry.example.com/meshfleet@sha256:") {
		t.Fatalf("reference %q", r.Reference())
	}
	objects, err := manifests.Parse(files["install.yaml"])
	if err != nil {
		t.Fatal(err)
	}
	deployment, err := manifests.DecodeOne[appsv1.Deployment](objects, "Deployment")
	if err != nil {
		t.Fatal(err)
	}
	if container, err := manifests.Manager(deployment); err != nil || container.Image != r.Reference() {
		t.Errorf("install.yaml has the image %q, error %v", container.Image, err)
	}
	c, err := loader.LoadArchive(bytes.NewReader(files["meshfleet-1.2.3.tgz"]))
	if err != nil {
		t.Fatal(err)
	}
	image := c.Values["manager"].(map[string]any)["image"].(map[string]any)
	if image["repository"] != "registry.example.com/meshfleet" || image["digest"] != r.Digest {
		t.Errorf("the chart has the image %v", image)
	}
}

// TestInstallerCanBeApplied wants objects behind those that they need, because kubectl applies them in their order.
func TestInstallerCanBeApplied(t *testing.T) {
	content, err := Installer(realRepository, "example.com/image@sha256:1")
	if err != nil {
		t.Fatal(err)
	}
	objects, err := manifests.Parse(content)
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := manifests.Render(filepath.Join(realRepository, "config", "default"))
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) != len(rendered) {
		t.Errorf("install.yaml has %d objects, config/default %d", len(objects), len(rendered))
	}
	namespaces := map[string]bool{}
	for _, u := range objects {
		if u.GetKind() == "Namespace" {
			namespaces[u.GetName()] = true
		}
		if namespace := u.GetNamespace(); namespace != "" && !namespaces[namespace] {
			t.Errorf("%s %s is before its namespace %s", u.GetKind(), u.GetName(), namespace)
		}
	}
}

func TestChecksumsAndProvenanceNameAllFiles(t *testing.T) {
	o := options(t)
	o.Invocation = "https://example.com/runs/1"
	// What is appended is listed, too.
	r, files := written(t, o, append(Artefacts(), pinned(t).Add))

	var listed []string
	for line := range strings.Lines(string(files[checksumsFile])) {
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if got, err := sumOf(filepath.Join(o.Output, name)); !ok || err != nil || got != sum {
			t.Errorf("line %q: the checksum is %s, error %v", line, got, err)
		}
		listed = append(listed, name)
	}
	want := slices.Sorted(maps.Keys(files))
	want = slices.DeleteFunc(want, func(name string) bool { return name == checksumsFile || name == provenanceFile })
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("checksums.txt (-files +listed):\n%s", diff)
	}

	var s statement
	if err := json.Unmarshal(files[provenanceFile], &s); err != nil {
		t.Fatal(err)
	}
	if s.Type != statementType || s.PredicateType != predicateType || s.Predicate.RunDetails.Builder.ID != o.Builder {
		t.Errorf("type %s, predicate %s, builder %s", s.Type, s.PredicateType, s.Predicate.RunDetails.Builder.ID)
	}
	if s.Predicate.RunDetails.Metadata["invocationId"] != o.Invocation {
		t.Errorf("metadata %v", s.Predicate.RunDetails.Metadata)
	}
	subjects := map[string]string{}
	for _, subject := range s.Subject {
		subjects[subject.Name] = subject.Digest["sha256"]
	}
	for _, name := range append(want, checksumsFile) {
		if sum, err := sumOf(filepath.Join(o.Output, name)); err != nil || subjects[name] != sum {
			t.Errorf("the provenance has the digest %q of %s, want %s, error %v", subjects[name], name, sum, err)
		}
	}
	if "sha256:"+subjects[o.Image] != r.Digest {
		t.Errorf("the provenance has the digest %q of the image, want %s", subjects[o.Image], r.Digest)
	}
	dependencies := s.Predicate.BuildDefinition.ResolvedDependencies
	if len(dependencies) != len(lockFiles)+1 || dependencies[0].Digest["gitCommit"] != r.Source.Commit || dependencies[0].Annotations != nil {
		t.Errorf("dependencies %v", dependencies)
	}
	if goVersion, ok := s.Predicate.BuildDefinition.InternalParameters["goVersion"].(string); !ok || !strings.HasPrefix(goVersion, "go1.") {
		t.Errorf("Go version %q", goVersion)
	}
}

func TestReleaseRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		change  func(*testing.T, *Options)
		more    []Artefact
		wantErr string
	}{
		"files that differ from the commit": {
			change: func(t *testing.T, o *Options) { writeFile(t, filepath.Join(o.Repository, "go.sum"), "other") }, wantErr: "ALLOW_DIRTY=1",
		},
		"a version that is none": {change: func(_ *testing.T, o *Options) { o.Version = "v1" }, wantErr: "version v1 is not a semantic version"},
		"no builder":             {change: func(_ *testing.T, o *Options) { o.Builder = "" }, wantErr: "--builder"},
		"an image without an architecture": {
			change: func(t *testing.T, o *Options) { writeImage(t, o.ImageArchive, "amd64") }, wantErr: "the images are for [linux/amd64]",
		},
		"an archive that is no layout": {
			change: func(t *testing.T, o *Options) {
				if err := os.WriteFile(o.ImageArchive, make([]byte, 1024), 0o600); err != nil {
					t.Fatal(err)
				}
			}, wantErr: "has no index.json",
		},
		"a directory that has files": {
			change: func(t *testing.T, o *Options) { writeFile(t, filepath.Join(o.Output, "old.tgz"), "") }, wantErr: "old.tgz: delete them first",
		},
		"no charts": {change: func(t *testing.T, o *Options) { o.Charts = t.TempDir() }, wantErr: "run make charts"},
		"two artefacts of one name": {
			change: func(*testing.T, *Options) {}, more: []Artefact{manifestFiles}, wantErr: "two artefacts are called install.yaml",
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			tt.change(t, &o)
			if _, err := Run(o, append(Artefacts(), tt.more...)); err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("error %v, want %q in it", err, tt.wantErr)
			}
		})
	}
}

func TestProvenanceReportsFilesThatDiffer(t *testing.T) {
	o := options(t)
	writeFile(t, filepath.Join(o.Repository, "go.sum"), "other")
	o.AllowDirty = true
	_, files := written(t, o, Artefacts())
	if !strings.Contains(string(files[provenanceFile]), `"filesThatDiffer": 1`) {
		t.Errorf("provenance:\n%s", files[provenanceFile])
	}
}

func TestBrokenBlobIsRefused(t *testing.T) {
	o := options(t)
	content, err := os.ReadFile(o.ImageArchive)
	if err != nil {
		t.Fatal(err)
	}
	// Only the index of images has platforms.
	changed := bytes.Replace(content, []byte(`"platform":{"architecture":"arm64"`), []byte(`"platform":{"architecture":"arm65"`), 1)
	if bytes.Equal(changed, content) {
		t.Fatal("nothing was changed")
	}
	if err := os.WriteFile(o.ImageArchive, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := indexDigest(o.ImageArchive, o.Binaries); err == nil || !strings.Contains(err.Error(), "has the checksum") {
		t.Errorf("error %v, want the checksum in it", err)
	}
}
