package validate

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// repository is the root of the repository.
const repository = "../../../.."

// TestBundleOfTheRepository wants no error and no warning without a reason in the committed bundle.
func TestBundleOfTheRepository(t *testing.T) {
	problems, warnings, err := Bundle(filepath.Join(repository, "bundle"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("error of %s", p)
	}
	reasons, err := LoadReasons(filepath.Join("..", "..", "warnings.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	unexplained, unused := Explain(warnings, reasons)
	for _, w := range unexplained {
		t.Errorf("warning of %s", w)
	}
	for _, r := range unused {
		t.Errorf("%s warns no longer of %q: take the reason out of warnings.yaml", r.Validator, r.Warning)
	}
}

// TestEveryValidatorFindsFaults spoils the bundle in ways that the validators must find.
func TestEveryValidatorFindsFaults(t *testing.T) {
	cases := map[string]struct {
		from, to string
		want     string
		isError  bool
	}{
		"a level that does not exist": {"capabilities: Seamless Upgrades", "capabilities: Perfect", "standardcapabilities", true},
		"a category that does not":    {"categories: Networking, Security", "categories: Meshes", "standardcategories", true},
		"no minimum version":          {"minKubeVersion: 1.30.0", "", "operatorhub/v2", false},
		"no name of the provider":     {"    name: Meshfleet\n    url:", "    url:", "operatorhub/v2", true},
		"a name without a version":    {"name: meshfleet.v", "name: meshfleet-", "good-practices", false},
		"an owned kind without an object": {"kind: MeshUpgrade\n      name: meshupgrades.mesh.meshfleet.io",
			"kind: MeshOther\n      name: meshupgrades.mesh.meshfleet.io", "bundle", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(filepath.Join(repository, "bundle"))); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "manifests", "meshfleet.clusterserviceversion.yaml")
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			spoiled := strings.ReplaceAll(string(content), c.from, c.to)
			if spoiled == string(content) {
				t.Fatalf("%q is not in the ClusterServiceVersion", c.from)
			}
			if err := os.WriteFile(path, []byte(spoiled), 0o600); err != nil {
				t.Fatal(err)
			}
			problems, warnings, err := Bundle(dir)
			if err != nil {
				t.Fatal(err)
			}
			found := warnings
			if c.isError {
				found = problems
			}
			for _, f := range found {
				if f.Validator == c.want {
					return
				}
			}
			t.Errorf("%s found nothing; errors: %v, warnings: %v", c.want, problems, warnings)
		})
	}
}

func TestExplain(t *testing.T) {
	warnings := []Finding{{"csv", "no icon in x"}, {"multiarch", "no icon in x"}, {"multiarch", "cannot pull y"}}
	reasons := []Reason{{"multiarch", "cannot pull", "offline"}, {"csv", "no icon", "none yet"}, {"bundle", "too large", "it was"}}
	unexplained, unused := Explain(warnings, reasons)
	if diff := cmp.Diff([]Finding{{"multiarch", "no icon in x"}}, unexplained); diff != "" {
		t.Errorf("unexplained (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Reason{{"bundle", "too large", "it was"}}, unused); diff != "" {
		t.Errorf("unused (-want +got):\n%s", diff)
	}
}

func TestLoadReasonsWantsAReason(t *testing.T) {
	path := filepath.Join(t.TempDir(), "warnings.yaml")
	if err := os.WriteFile(path, []byte("warnings: [{validator: csv, warning: no icon}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadReasons(path); err == nil || !strings.Contains(err.Error(), "warnings[0]") {
		t.Errorf("error is %v", err)
	}
}

func TestBundleKeepsThePath(t *testing.T) {
	before := os.Getenv("PATH")
	if _, _, err := Bundle(filepath.Join(repository, "bundle")); err != nil {
		t.Fatal(err)
	}
	if got := os.Getenv("PATH"); got != before {
		t.Errorf("PATH is %q, was %q", got, before)
	}
}
